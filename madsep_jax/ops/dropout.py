"""The random numbers of dropout, from the generator that suits a target.

Threefry, JAX's default, is some hundred operations in a row, which the compiler for TPUs takes long over wherever a
program draws. `rbg` is one operation of the compiler's own there. A seed gives the same numbers on a kind of device,
however many of them there are and whichever seeds are trained beside it, but others by the other generator. Initial
weights are drawn by Threefry in any case, and a state keeps a key of Threefry, so that each target reads the others'
checkpoints.
"""

import math

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.choice import target_of


def generator_of(compute: ComputeConfig) -> str:
    """Return the generator's name: `threefry`, or `rbg`, by default on a TPU."""
    if compute.generator == "auto":
        return "rbg" if target_of(compute) == "tpu" else "threefry"
    return compute.generator


def dropout_key(key: jax.Array, compute: ComputeConfig) -> jax.Array:
    """Return the key of the generator that dropout is drawn by, from one of Threefry."""
    if generator_of(compute) == "threefry":
        return key
    data = jax.random.key_data(key)
    return jax.random.wrap_key_data(jnp.concatenate([data, data], -1), impl="rbg")


def drawn(key: jax.Array, keep: float, shape: tuple[int, ...]) -> jax.Array:
    """Draw which elements are kept, each with the probability `keep`."""

    def draw(key: jax.Array) -> jax.Array:
        # Drawn flat, which gives the same numbers. XLA unrolls loops over short axes, and compiles them for long.
        return jax.random.bernoulli(key, keep, (math.prod(shape),)).reshape(shape)

    # Of several keys at once, rbg would take the first for all.
    return draw(key) if str(jax.random.key_impl(key)) != "rbg" else sequential_vmap(draw)(key)
