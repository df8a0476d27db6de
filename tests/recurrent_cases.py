"""What the tests of other forms of the GRU share: every way in which a system uses one, and arguments of about 1."""

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax import DilatedConfig, GruMaskerConfig, build_model

MASKERS = {
    "mad": GruMaskerConfig(reduced_bins=9),
    "twin": GruMaskerConfig(reduced_bins=9, twin=True),
    "recurrent inference": GruMaskerConfig(reduced_bins=9, recurrent_iterations=3, recurrent_tolerance=1e-4),
    "dilated masker": DilatedConfig(role="masker", blocks=2, channels=8, convolutions=1, groups=2, gru_dilation=3),
    "dilated system": DilatedConfig(blocks=1, channels=8, convolutions=1, groups=2, gru_dilation=3),
}


def scan_arguments(steps, batch, hidden, seed=0, dtype=np.float64):
    """Gates, recurrent kernel and bias: larger ones would saturate the gates, and hide what is wrong with them."""
    random = np.random.default_rng(seed)
    shapes = (steps, batch, 3 * hidden), (hidden, 3 * hidden), (3 * hidden,)
    return tuple(jnp.asarray(random.normal(size=shape), dtype) for shape in shapes)


def model_variables(run, mag_BSF):
    shapes = jax.eval_shape(build_model(run.model).init, jax.random.key(0), mag_BSF)
    random = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * random.normal(size=leaf.shape)), shapes)
