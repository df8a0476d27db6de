"""Sums over all positions of a chunk.

Where what is summed is computed on the way, as squares are, XLA's reduction over the leading axes is slow on a CPU.
Here one pass computes a few parts and adds them up, and a matrix product with ones does the rest.
"""

import functools

import jax
import jax.numpy as jnp

#: Parts, at most.
_MOST_PARTS = 6


def position_sums(x_RWC: jax.Array) -> jax.Array:
    """Return the sums over frames and frequencies, (C,)."""
    x_NC = x_RWC.reshape(-1, x_RWC.shape[-1])
    parts = max(number for number in range(1, _MOST_PARTS + 1) if len(x_NC) % number == 0)
    return jnp.ones(len(x_NC) // parts, x_NC.dtype) @ functools.reduce(jnp.add, jnp.split(x_NC, parts))
