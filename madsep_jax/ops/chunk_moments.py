"""Mean and variance from chunks, without cancellation (Chan, Golub, LeVeque 1983)."""

import jax
import jax.numpy as jnp

from madsep_jax.ops.frame_chunks import Chunk, FrameChunks
from madsep_jax.ops.shared_batch import average
from madsep_jax.ops.weighted_sum import position_sums, weighted_sum


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
    weight_K = count_K.astype(mean_KC.dtype) / count
    mean_C = average(weighted_sum(weight_K, mean_KC))
    var_C = weighted_sum(weight_K, squares_KC / count_K[:, None] + jnp.square(mean_KC - mean_C))
    return mean_C, average(var_C)
