"""Sums over an array's rows, as a call of the matrix product that XLA has ready.

Of a vector and a matrix XLA makes a program of its own, and a reduction over the leading axis is slow on a CPU. So the
vector is given twice, which makes it a matrix.
"""

import jax
import jax.numpy as jnp


def weighted_sum(weight_N: jax.Array, x_NC: jax.Array) -> jax.Array:
    """Return weight_N @ x_NC, (C,)."""
    return (jnp.stack([weight_N, weight_N]) @ x_NC)[0]


def position_sums(x_RWC: jax.Array) -> jax.Array:
    """Return the sums over frames and frequencies, (C,)."""
    x_NC = x_RWC.reshape(-1, x_RWC.shape[-1])
    return weighted_sum(jnp.ones(len(x_NC), x_NC.dtype), x_NC)
