"""The depthwise-separable block for evaluation: both BatchNorms folded, a few frames at a time, in one pass.

The inner BatchNorm becomes part of the pointwise kernel, the outer one a factor and an offset that follow the pooling.
Equal blocks go back and forth between two halves of one buffer.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import BlockMoments, BlockParameters, as_affine, max_pool_frequency, over_blocks
from madsep_jax.ops.dws.chunks import Chunk
from madsep_jax.ops.dws.fast_first import Windows
from madsep_jax.ops.dws.fast_parts import BlockInput, activate, cut, folded_pointwise, mix
from madsep_jax.ops.dws.lazy import Upsampled
from madsep_jax.ops.dws.margins import Margins


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
    """Apply one block normalised by given moments; equals `madsep_jax.ops.dws.block.dws_block` with them.

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
            return activate(parameters, block_input.read_around(chunk), dilation, at_once=True)

    def run(y_BTWC: jax.Array, chunk: Chunk) -> tuple[jax.Array, None]:
        a_RWC = activated(chunk)
        # the factor's sign decides which value is the largest, so that it comes before the pooling
        return chunks.write(y_BTWC, max_pool_frequency(folded.after(a_RWC), pool), chunk), None

    shape = (batch, chunks.filled_frames, width // pool, len(folded.bias_C))
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
    """Apply equal blocks normalised by given moments; arguments as of `madsep_jax.ops.dws.block.dws_blocks`.

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
            a_RWC = activate(parameters, buffer, margins.dilation, first=first, rows=chunks.rows, at_once=True)
            y_RWC = folded.after(a_RWC)
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
