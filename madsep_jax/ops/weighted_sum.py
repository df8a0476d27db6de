"""Sums over an array's rows, as a call of the matrix product that XLA has ready.

XLA compiles each product of a vector and a matrix to code of its own, and its reduction over the leading axes is slow
on a CPU where what is summed is computed on the way. With the vector given twice it is a product of two matrices.
"""

import jax
import jax.numpy as jnp


def weighted_sum(weight_N: jax.Array, x_NC: jax.Array) -> jax.Array:
    """Return weight_N @ x_NC, (C,)."""
    return (jnp.stack([weight_N, weight_N]) @ x_NC)[0]


def position_sums(x_RWC: jax.Array) -> jax.Array:
    """Return the sums over frames and frequencies, (C,).

    It is for what is computed to be summed, as squares are. For an array that is written to a buffer as well, take
    `jnp.sum`: this product keeps XLA from writing it in place.
    """
    x_NC = x_RWC.reshape(-1, x_RWC.shape[-1])
    return weighted_sum(jnp.ones(len(x_NC), x_NC.dtype), x_NC)
