"""The depthwise-separable block for evaluation: both BatchNorms folded, a few frames at a time, in one pass.

The inner BatchNorm becomes part of the pointwise kernel, the outer one a factor and an offset that follow the pooling.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws_block import BlockMoments, BlockParameters, as_affine
from madsep_jax.ops.fast_dws_block import BlockInput, activate, folded_pointwise, mix
from madsep_jax.ops.fast_first_block import Windows
from madsep_jax.ops.frame_chunks import Chunk
from madsep_jax.ops.pooling import max_pool_frequency
from madsep_jax.ops.upsampling import Upsampled


class Folded(NamedTuple):
    """What follows a block's depthwise convolution and its LeakyReLU."""

    kernel_CC: jax.Array
    bias_C: jax.Array
    factor_C: jax.Array
    offset_C: jax.Array

    @classmethod
    def of(cls, parameters: BlockParameters, moments: BlockMoments) -> "Folded":
        """Fold given moments."""
        pointwise = folded_pointwise(parameters, moments.inner_mean_C, moments.inner_var_C)
        outer_norm = (parameters.outer_scale_C, parameters.outer_bias_C)
        return cls(*pointwise, *as_affine(moments.outer_mean_C, moments.outer_var_C, *outer_norm))

    def after(self, a_RWC: jax.Array) -> jax.Array:
        """Return a chunk of the block's output, not pooled."""
        return mix(a_RWC, self.kernel_CC, self.bias_C) * self.factor_C + self.offset_C


def folded_block(
    parameters: BlockParameters,
    x_BTWC: jax.Array | Upsampled,
    moments: BlockMoments,
    *,
    pool: int = 1,
    dilation: int = 1,
) -> jax.Array:
    """Apply one block normalised by given moments; equals `madsep_jax.ops.dws_block.dws_block` with them.

    One sequence after the other: its buffer is small enough then to stay in the cache.
    """
    folded = Folded.of(parameters, moments)
    sequences_BTWC, rest = (x_BTWC.x_BTWC, x_BTWC[1:]) if isinstance(x_BTWC, Upsampled) else (x_BTWC, None)

    def run(x_TWC: jax.Array) -> jax.Array:
        x_1TWC = x_TWC[None] if rest is None else Upsampled(x_TWC[None], *rest)
        return _one_sequence(parameters, folded, x_1TWC, pool, dilation)[0]

    return jax.lax.map(run, sequences_BTWC)


def _one_sequence(
    parameters: BlockParameters, folded: Folded, x_BTWC: jax.Array | Upsampled, pool: int, dilation: int
) -> jax.Array:
    batch, _, width, channels = x_BTWC.shape
    if channels == 1 and not isinstance(x_BTWC, Upsampled):
        windows = Windows.of(x_BTWC[..., 0], parameters.depthwise_kernel_KKC)
        chunks = windows.chunks

        def activated(chunk: Chunk) -> jax.Array:
            return windows.activate(parameters, windows.read_around(chunk), chunk)
    else:
        block_input = BlockInput.of(parameters, x_BTWC, dilation)
        chunks = block_input.chunks

        def activated(chunk: Chunk) -> jax.Array:
            return activate(parameters, block_input.read_around(chunk), dilation)

    def run(y_BTWC: jax.Array, chunk: Chunk) -> tuple[jax.Array, None]:
        a_RWC = activated(chunk)
        # the factor's sign decides which value is the largest, so that it comes before the pooling
        return chunks.write(y_BTWC, max_pool_frequency(folded.after(a_RWC), pool), chunk), None

    shape = (batch, chunks.filled_frames, width // pool, len(folded.bias_C))
    y_BTWC, _ = chunks.scan(run, jnp.zeros(shape, x_BTWC.dtype))
    return y_BTWC[:, : chunks.frames]
