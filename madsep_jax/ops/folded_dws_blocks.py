"""Equal depthwise-separable blocks for evaluation: folded, and back and forth between two halves of one buffer."""

import dataclasses

import jax
import jax.numpy as jnp

from madsep_jax.ops.block_loop import over_blocks
from madsep_jax.ops.dws_block import BlockMoments, BlockParameters
from madsep_jax.ops.fast_dws_block import activate, cut
from madsep_jax.ops.folded_dws_block import Folded, folded_block
from madsep_jax.ops.frame_chunks import Chunk
from madsep_jax.ops.margins import Margins


def folded_blocks(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array,
    moments_L: BlockMoments,
    *,
    dilations: tuple[int, ...] = (1,),
    residual: bool = False,
    unrolled: bool = False,
) -> jax.Array:
    """Apply equal blocks normalised by given moments; arguments as of `madsep_jax.ops.dws_block.dws_blocks`.

    One sequence goes through all blocks before the next one does: the buffer is small enough then to stay in the cache.
    """
    if len(set(dilations)) > 1:  # the margins differ
        return _one_by_one(parameters_L, x_BTWC, moments_L, dilations, residual)

    def run(x_TWC: jax.Array) -> jax.Array:
        return _in_one_buffer(parameters_L, x_TWC[None], moments_L, dilations[0], residual, unrolled)[0]

    return jax.lax.map(run, x_BTWC)


def _in_one_buffer(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array,
    moments_L: BlockMoments,
    dilation: int,
    residual: bool,
    unrolled: bool,
) -> jax.Array:
    layers, side = parameters_L.depthwise_kernel_KKC.shape[:2]
    batch, frames, width, channels = x_BTWC.shape
    chunks, margins = cut(batch, frames, width * channels), Margins(side, dilation)
    # Nothing writes over the margins, nor over the fill, here also one between two sequences: what is read outside a
    # sequence and its spectrum is zero.
    chunks = dataclasses.replace(chunks, filled_frames=chunks.filled_frames + margins.frames)
    buffer = jnp.zeros(margins.shape(2 * batch, chunks, width, channels), x_BTWC.dtype)
    buffer = margins.place(buffer, x_BTWC, chunks)

    def apply(buffer: jax.Array, block: tuple) -> tuple[jax.Array, None]:
        layer, parameters, moments = block
        folded = Folded.of(parameters, moments)
        source, target = layer % 2 * batch, (layer + 1) % 2 * batch

        def run(buffer: jax.Array, chunk: Chunk) -> tuple[jax.Array, None]:
            first = margins.first_around(chunks, chunk, source + chunk.sequence)
            y_RWC = folded.after(activate(parameters, buffer, margins.dilation, first, chunks.rows))
            if residual:
                y_RWC = y_RWC + margins.read(buffer, chunks, chunk, source + chunk.sequence)
            y_RWC = chunks.without_fill(y_RWC, chunk)
            return margins.write(buffer, y_RWC, chunks, chunk, target + chunk.sequence), None

        return chunks.scan(run, buffer)

    blocks_L = (jnp.arange(layers), parameters_L, moments_L)
    buffer, _ = jax.lax.scan(apply, buffer, blocks_L, unroll=layers if unrolled else 1)
    return margins.middle(buffer, chunks, first_item=layers % 2 * batch)


def _one_by_one(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array,
    moments_L: BlockMoments,
    dilations: tuple[int, ...],
    residual: bool,
) -> jax.Array:
    def apply(x_BTWC: jax.Array, block: tuple, dilation: int) -> tuple[jax.Array, None]:
        y_BTWC = folded_block(block[0], x_BTWC, block[1], dilation=dilation)
        return x_BTWC + y_BTWC if residual else y_BTWC, None

    return over_blocks(apply, x_BTWC, (parameters_L, moments_L), dilations, unrolled=True)[0]
