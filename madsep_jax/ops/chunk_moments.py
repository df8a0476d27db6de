"""Mean and variance from chunks, without cancellation (Chan, Golub, LeVeque 1983)."""

import jax
import jax.numpy as jnp

from madsep_jax.ops.frame_chunks import Chunk, FrameChunks
from madsep_jax.ops.position_sums import position_sums
from madsep_jax.ops.shared_batch import average


def chunk_moments(
    x_RWC: jax.Array, chunks: FrameChunks, chunk: Chunk, count_K: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return a chunk's mean, and its sum of squared deviations from it, of each channel; x is 0 in the fill."""
    mean_C = jnp.sum(x_RWC, (0, 1)) / count_K[chunk.number].astype(x_RWC.dtype)
    return mean_C, position_sums(jnp.square(chunks.without_fill(x_RWC - mean_C, chunk)))


def joined_moments(moments_KC: tuple[jax.Array, jax.Array], count_K: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance of all chunks together, those of all devices that share the batch."""
    mean_KC, squares_KC = moments_KC
    count = jnp.sum(count_K).astype(mean_KC.dtype)
    weight_K1 = count_K.astype(mean_KC.dtype)[:, None] / count
    mean_C = average(jnp.sum(weight_K1 * mean_KC, 0))
    var_C = jnp.sum(squares_KC, 0) / count + jnp.sum(weight_K1 * jnp.square(mean_KC - mean_C), 0)
    return mean_C, average(var_C)
