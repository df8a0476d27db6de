"""The depthwise-separable block for evaluation: both BatchNorms folded, a few frames at a time, in one pass.

The inner BatchNorm becomes part of the pointwise kernel, the outer one a factor and an offset that follow the pooling.
"""

import jax
import jax.numpy as jnp

from madsep_jax.ops.block_loop import over_blocks
from madsep_jax.ops.dws_block import BlockMoments, BlockParameters, as_affine
from madsep_jax.ops.fast_dws_block import BlockInput, activate, cut, folded_pointwise, mix
from madsep_jax.ops.fast_first_block import Windows
from madsep_jax.ops.frame_chunks import Chunk
from madsep_jax.ops.margins import Margins
from madsep_jax.ops.pooling import max_pool_frequency


def folded_block(
    parameters: BlockParameters, x_BTWC: jax.Array, moments: BlockMoments, *, pool: int = 1, dilation: int = 1
) -> jax.Array:
    """Apply one block normalised by given moments; equals `madsep_jax.ops.dws_block.dws_block` with them."""
    kernel_CC, bias_C = folded_pointwise(parameters, moments.inner_mean_C, moments.inner_var_C)
    outer_norm = (parameters.outer_scale_C, parameters.outer_bias_C)
    factor_C, offset_C = as_affine(moments.outer_mean_C, moments.outer_var_C, *outer_norm)
    batch, frames, width, _ = x_BTWC.shape
    channels = len(bias_C)
    if x_BTWC.shape[-1] == 1:
        windows = Windows.of(x_BTWC[..., 0], parameters.depthwise_kernel_KKC)
        chunks = windows.chunks
    else:
        chunks = cut(batch, frames, width * channels)
        margins = Margins(len(parameters.depthwise_kernel_KKC), dilation)
        block_input = BlockInput(margins.fill(x_BTWC, chunks), margins, chunks)

    def run(y_BTWC: jax.Array, chunk: Chunk) -> tuple[jax.Array, None]:
        if x_BTWC.shape[-1] == 1:
            a_RWC = windows.activate(parameters, windows.read_around(chunk), chunk)
        else:
            a_RWC = activate(parameters, block_input.read_around(chunk), dilation)
        # the factor's sign decides which value is the largest, so that it comes before the pooling
        y_RWC = max_pool_frequency(mix(a_RWC, kernel_CC, bias_C) * factor_C + offset_C, pool)
        return chunks.write(y_BTWC, y_RWC, chunk), None

    shape = (batch, chunks.filled_frames, width // pool, channels)
    y_BTWC, _ = chunks.scan(run, jnp.zeros(shape, x_BTWC.dtype))
    return y_BTWC[:, : chunks.frames]


def folded_blocks(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array,
    moments_L: BlockMoments,
    *,
    dilations: tuple[int, ...] = (1,),
    residual: bool = False,
    unrolled: bool = False,
) -> jax.Array:
    """Apply equal blocks; arguments as of `madsep_jax.ops.dws_block.dws_blocks`."""

    def apply(x_BTWC: jax.Array, block: tuple, dilation: int) -> tuple[jax.Array, None]:
        parameters, moments = block
        y_BTWC = folded_block(parameters, x_BTWC, moments, dilation=dilation)
        return x_BTWC + y_BTWC if residual else y_BTWC, None

    return over_blocks(apply, x_BTWC, (parameters_L, moments_L), dilations, unrolled)[0]
