"""What a depthwise-separable block may take: an array, or what it is made from."""

import jax

from madsep_jax.ops.normalised import Normalised
from madsep_jax.ops.upsampling import Upsampled

LazyArray = jax.Array | Normalised | Upsampled


def as_array(x_BTWC: LazyArray) -> jax.Array:
    """Return a block's input, or what it gives to the next, as an array."""
    return x_BTWC.array() if isinstance(x_BTWC, Normalised | Upsampled) else x_BTWC
