"""Equal depthwise-separable blocks one after the other, written for speed.

All blocks' z lie in one buffer, each written once and read by the block after it, which normalises it on the way (see
`BlockInput`). Gradients need nothing else.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import BlockMoments, BlockParameters
from madsep_jax.ops.dws.chunks import Chunk, FrameChunks
from madsep_jax.ops.dws.fast_parts import BlockInput, Room, cut, run_backward, run_forward
from madsep_jax.ops.dws.fast_pooled import moments_gradient, output_affine
from madsep_jax.ops.dws.lazy import AffineGradient, Held, Normalised
from madsep_jax.ops.dws.margins import Margins, rooms


class _Plan(NamedTuple):
    """What is known before anything is computed."""

    layers: int
    chunks: FrameChunks
    margins: Margins
    unroll: int

    def first_item(self, layer: Any) -> Any:
        """Where the input of a block lies in the buffer; its output is the next one's input."""
        return layer * self.chunks.batch


def fast_dws_blocks(
    parameters_L: BlockParameters, x_BTWC: jax.Array | Normalised, kept_LBC: jax.Array, dilation: int, unrolled: bool
) -> tuple[Normalised, BlockMoments]:
    """Apply L equal blocks in training; equals `madsep_jax.ops.dws.block.dws_blocks` without residual connections.

    All have the same dilation. The moments returned are not differentiated.
    """
    source = Normalised.of(x_BTWC)._replace(held=None)
    y, moments_L, buffer = _blocks(parameters_L, source, kept_LBC, dilation, unrolled)
    plan = _plan(parameters_L, source.shape, dilation, unrolled)
    held = Held(jax.lax.stop_gradient(buffer), plan.margins, plan.chunks.filled_frames, plan.first_item(plan.layers))
    return y._replace(held=held), moments_L


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _blocks(
    parameters_L: BlockParameters, source: Normalised, kept_LBC: jax.Array, dilation: int, unrolled: bool
) -> tuple[Normalised, BlockMoments, jax.Array]:
    """Return the output, the moments, and the buffer that holds all blocks' z, which is not differentiated."""
    return _forward(parameters_L, source, kept_LBC, dilation, unrolled)[0]


def _forward(
    parameters_L: BlockParameters, source: Normalised, kept_LBC: jax.Array, dilation: int, unrolled: bool
) -> tuple[tuple[Normalised, BlockMoments, jax.Array], tuple]:
    plan = _plan(parameters_L, source.shape, dilation, unrolled)
    chunks, margins = plan.chunks, plan.margins
    (buffer,) = rooms(source.z_BTWC, margins.shape((plan.layers + 1) * chunks.batch, chunks, *source.shape[2:]))
    buffer = margins.place(buffer, source.z_BTWC, chunks)

    def block(carry: tuple, xs: tuple) -> tuple[tuple, tuple]:
        (buffer, room_BTWC, factor_BC, offset_BC), (layer, parameters, kept_BC) = carry, xs

        def put(buffer: jax.Array, z_RWC: jax.Array, chunk: Chunk) -> jax.Array:
            return margins.write(buffer, z_RWC, chunks, chunk, plan.first_item(layer + 1) + chunk.sequence)

        block_input = BlockInput(buffer, margins, chunks, factor_BC, offset_BC, plan.first_item(layer))
        buffer, room_BTWC, moments = run_forward(parameters, block_input, room_BTWC, buffer, put)
        affine = output_affine(parameters, moments.outer_mean_C, moments.outer_var_C, kept_BC)
        return (buffer, room_BTWC, *affine), (moments, factor_BC, offset_BC)

    start = (buffer, chunks.filled(source.z_BTWC), source.factor_BC, source.offset_BC)
    xs = (jnp.arange(plan.layers), parameters_L, kept_LBC)
    (buffer, _, factor_BC, offset_BC), (moments_L, factor_LBC, offset_LBC) = jax.lax.scan(
        block, start, xs, unroll=plan.unroll
    )
    z_BTWC = margins.middle(buffer, chunks, first_item=plan.first_item(plan.layers))
    residuals = parameters_L, kept_LBC, buffer, moments_L, factor_LBC, offset_LBC
    return (Normalised(z_BTWC, factor_BC, offset_BC), moments_L, buffer), residuals


def _backward(
    dilation: int, unrolled: bool, residuals: tuple, cotangents: tuple[Normalised, BlockMoments, jax.Array]
) -> tuple[BlockParameters, Normalised, jax.Array]:
    parameters_L, kept_LBC, buffer, moments_L, factor_LBC, offset_LBC = residuals
    grad_z_BTWC, *grad_affine, _ = cotangents[0]
    plan = _plan(parameters_L, grad_z_BTWC.shape, dilation, unrolled)
    chunks, margins = plan.chunks, plan.margins

    def block(carry: tuple[Room, AffineGradient], xs: tuple) -> tuple[tuple, tuple]:
        room, grad_affine = carry
        layer, parameters, kept_BC, moments, factor_BC, offset_BC = xs
        means_C = (moments.outer_mean_C, moments.outer_var_C)
        _, differentiate = jax.vjp(output_affine, parameters, *means_C, kept_BC)
        outer, grad_mean_C, grad_var_C, grad_kept_BC = differentiate(tuple(grad_affine))
        grad_moments = moments._replace(outer_mean_C=grad_mean_C, outer_var_C=grad_var_C)
        constant_C, slope_C = moments_gradient(moments, grad_moments, math.prod(grad_z_BTWC.shape[:3]))

        def grad_p(_: Callable, grad_z_RWC: jax.Array, chunk: Chunk) -> jax.Array:
            z_RWC = margins.read(buffer, chunks, chunk, plan.first_item(layer + 1) + chunk.sequence)
            return jnp.where(z_RWC > 0, grad_z_RWC + constant_C + slope_C * z_RWC, 0)

        block_input = BlockInput(buffer, margins, chunks, factor_BC, offset_BC, plan.first_item(layer))
        inner, room, grad_input_affine = run_backward(parameters, moments, block_input, room, grad_p)
        return (room, grad_input_affine), (jax.tree.map(jnp.add, inner, outer), grad_kept_BC)

    (grad,) = rooms(grad_z_BTWC, margins.shape(chunks.batch, chunks, *grad_z_BTWC.shape[2:]))
    grad = margins.place(grad, grad_z_BTWC, chunks, early=True)
    start = (Room(grad, chunks.filled(grad_z_BTWC)), AffineGradient(*grad_affine))
    xs = (jnp.arange(plan.layers), parameters_L, kept_LBC, moments_L, factor_LBC, offset_LBC)
    (room, of_source), (gradients_L, grad_kept_LBC) = jax.lax.scan(block, start, xs, reverse=True, unroll=plan.unroll)
    return gradients_L, Normalised(margins.middle(room.grad, chunks, early=True), *of_source), grad_kept_LBC


_blocks.defvjp(_forward, _backward)


def _plan(parameters_L: BlockParameters, shape: tuple[int, ...], dilation: int, unrolled: bool) -> _Plan:
    layers, side = parameters_L.depthwise_kernel_KKC.shape[:2]
    batch, frames, width, channels = shape
    chunks = cut(batch, frames, width * channels)
    return _Plan(layers, chunks, Margins(side, dilation), layers if unrolled else 1)
