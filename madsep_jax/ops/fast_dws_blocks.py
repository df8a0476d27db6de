"""Equal depthwise-separable blocks one after the other, written for speed.

All blocks' z lie in one buffer, each written once and read by the block after it, which normalises it on the way (see
`BlockInput`). Gradients need nothing else.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws_block import BlockMoments, BlockParameters
from madsep_jax.ops.fast_dws_block import AffineGradient, BlockInput, Room, cut, run_backward, run_forward
from madsep_jax.ops.fast_pooled_block import moments_gradient, output_affine
from madsep_jax.ops.frame_chunks import Chunk, FrameChunks, dynamic_update_slice
from madsep_jax.ops.margins import Margins


class _Plan(NamedTuple):
    """What is known before anything is computed."""

    layers: int
    chunks: FrameChunks
    margins: Margins
    unroll: int

    def first_item(self, layer: jax.Array | int) -> jax.Array | int:
        """Where the input of a block lies in the buffer; its output is the next one's input."""
        return layer * self.chunks.batch


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def fast_dws_blocks(
    parameters_L: BlockParameters, x_BTWC: jax.Array, kept_LBC: jax.Array, dilation: int, unrolled: bool
) -> tuple[jax.Array, BlockMoments]:
    """Apply L equal blocks in training; equals `madsep_jax.ops.dws_block.dws_blocks` without residual connections.

    Args:
        parameters_L: stacked along a leading axis, as `kept_LBC` and the moments returned are.
        x_BTWC: input of the first block.
        kept_LBC: what dropout multiplies each channel of each sequence by.
        dilation: of all blocks.
        unrolled: compile each block by itself.

    Returns:
        The last block's output, and the moments of all, which are not differentiated.
    """
    return _forward(parameters_L, x_BTWC, kept_LBC, dilation, unrolled)[0]


def _forward(
    parameters_L: BlockParameters, x_BTWC: jax.Array, kept_LBC: jax.Array, dilation: int, unrolled: bool
) -> tuple[tuple[jax.Array, BlockMoments], tuple]:
    plan = _plan(parameters_L, x_BTWC, dilation, unrolled)
    chunks, margins = plan.chunks, plan.margins
    buffer = jnp.zeros(margins.shape((plan.layers + 1) * chunks.batch, chunks, *x_BTWC.shape[2:]), x_BTWC.dtype)
    buffer = dynamic_update_slice(buffer, x_BTWC, (0, margins.frames, margins.bins, 0))

    def block(carry: tuple, xs: tuple) -> tuple[tuple, tuple]:
        (buffer, room_BTWC, factor_BC, offset_BC), (layer, parameters, kept_BC) = carry, xs

        def put(buffer: jax.Array, z_RWC: jax.Array, chunk: Chunk) -> jax.Array:
            return margins.write(buffer, z_RWC, chunk, plan.first_item(layer + 1) + chunk.sequence)

        block_input = BlockInput(buffer, margins, chunks, factor_BC, offset_BC, plan.first_item(layer))
        buffer, room_BTWC, moments = run_forward(parameters, block_input, room_BTWC, buffer, put)
        affine = output_affine(parameters, moments.outer_mean_C, moments.outer_var_C, kept_BC)
        return (buffer, room_BTWC, *affine), (moments, factor_BC, offset_BC)

    unit_BC = jnp.ones_like(kept_LBC[0])
    start = (buffer, chunks.filled(x_BTWC), unit_BC, jnp.zeros_like(unit_BC))
    xs = (jnp.arange(plan.layers), parameters_L, kept_LBC)
    (buffer, _, *affine), (moments_L, factor_LBC, offset_LBC) = jax.lax.scan(block, start, xs, unroll=plan.unroll)
    factor_BC, offset_BC = affine
    z_BTWC = margins.middle(buffer[plan.first_item(plan.layers) :], chunks)
    y_BTWC = z_BTWC * factor_BC[:, None, None] + offset_BC[:, None, None]
    return (y_BTWC, moments_L), (parameters_L, kept_LBC, buffer, moments_L, factor_LBC, offset_LBC, factor_BC)


def _backward(
    dilation: int, unrolled: bool, residuals: tuple, cotangents: tuple[jax.Array, BlockMoments]
) -> tuple[BlockParameters, jax.Array, jax.Array]:
    parameters_L, kept_LBC, buffer, moments_L, factor_LBC, offset_LBC, last_factor_BC = residuals
    grad_y_BTWC, _ = cotangents
    plan = _plan(parameters_L, grad_y_BTWC, dilation, unrolled)
    chunks, margins = plan.chunks, plan.margins

    def block(carry: tuple[Room, AffineGradient], xs: tuple) -> tuple[tuple, tuple]:
        room, grad_affine = carry
        layer, parameters, kept_BC, moments, factor_BC, offset_BC = xs
        means_C = (moments.outer_mean_C, moments.outer_var_C)
        _, differentiate = jax.vjp(output_affine, parameters, *means_C, kept_BC)
        outer, grad_mean_C, grad_var_C, grad_kept_BC = differentiate(tuple(grad_affine))
        grad_moments = moments._replace(outer_mean_C=grad_mean_C, outer_var_C=grad_var_C)
        constant_C, slope_C = moments_gradient(moments, grad_moments, grad_y_BTWC.size // grad_y_BTWC.shape[-1])

        def grad_p(_: Callable, grad_z_RWC: jax.Array, chunk: Chunk) -> jax.Array:
            z_RWC = margins.read(buffer, chunks, chunk, plan.first_item(layer + 1) + chunk.sequence)
            return jnp.where(z_RWC > 0, grad_z_RWC + constant_C + slope_C * z_RWC, 0)

        block_input = BlockInput(buffer, margins, chunks, factor_BC, offset_BC, plan.first_item(layer))
        inner, room, grad_input_affine = run_backward(parameters, moments, block_input, room, grad_p)
        return (room, grad_input_affine), (jax.tree.map(jnp.add, inner, outer), grad_kept_BC)

    z_BTWC = margins.middle(buffer[plan.first_item(plan.layers) :], chunks)
    of_output = AffineGradient(jnp.sum(grad_y_BTWC * z_BTWC, (1, 2)), jnp.sum(grad_y_BTWC, (1, 2)))
    grad_z_BTWC = chunks.filled(grad_y_BTWC * last_factor_BC[:, None, None])
    u = jnp.zeros(margins.shape(chunks.batch, chunks, *grad_y_BTWC.shape[2:]), grad_y_BTWC.dtype)
    start = (Room(grad_z_BTWC, u), of_output)
    xs = (jnp.arange(plan.layers), parameters_L, kept_LBC, moments_L, factor_LBC, offset_LBC)
    (room, _), (gradients_L, grad_kept_LBC) = jax.lax.scan(block, start, xs, reverse=True, unroll=plan.unroll)
    return gradients_L, room.grad_BTWC[:, : chunks.frames], grad_kept_LBC


fast_dws_blocks.defvjp(_forward, _backward)


def _plan(parameters_L: BlockParameters, x_BTWC: jax.Array, dilation: int, unrolled: bool) -> _Plan:
    layers, side = parameters_L.depthwise_kernel_KKC.shape[:2]
    batch, frames, width, channels = x_BTWC.shape
    chunks = cut(batch, frames, width * channels)
    return _Plan(layers, chunks, Margins(side, dilation), layers if unrolled else 1)
