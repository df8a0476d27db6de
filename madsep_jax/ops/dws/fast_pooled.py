"""One depthwise-separable block by itself, with max-pooling or without, written for speed."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import BlockMoments, BlockParameters, as_affine, grad_of_pooled, max_pool_frequency
from madsep_jax.ops.dws.chunks import Chunk
from madsep_jax.ops.dws.fast_parts import BlockInput, Room, run_backward, run_forward
from madsep_jax.ops.dws.lazy import LazyArray, Normalised, Upsampled
from madsep_jax.ops.dws.margins import rooms
from madsep_jax.ops.shared_batch import shares, total


def fast_dws_block(
    parameters: BlockParameters,
    x_BTWC: LazyArray,
    kept_BC: jax.Array | None = None,
    *,
    pool: int = 1,
    dilation: int = 1,
) -> tuple[Normalised, BlockMoments]:
    """Apply one block in training; equals `madsep_jax.ops.dws.block.dws_block`."""
    # Pooled before the normalisation: a negative scale makes the largest normalised value of the smallest one.
    sign_C = jnp.where(parameters.outer_scale_C < 0, -1, 1).astype(x_BTWC.dtype)
    z_BTWC, moments = _pooled_block(parameters, x_BTWC, sign_C, pool, dilation)
    return normalised_output(parameters, z_BTWC, moments, kept_BC), moments


def normalised_output(
    parameters: BlockParameters, z_BTWC: jax.Array, moments: BlockMoments, kept_BC: jax.Array | None
) -> Normalised:
    """Return the block's output from z: the outer BatchNorm and the dropout."""
    factor_BC, offset_BC = output_affine(parameters, moments.outer_mean_C, moments.outer_var_C, kept_BC)
    shape = (len(z_BTWC), z_BTWC.shape[-1])
    return Normalised(z_BTWC, jnp.broadcast_to(factor_BC, shape), jnp.broadcast_to(offset_BC, shape))


def output_affine(
    parameters: BlockParameters, outer_mean_C: jax.Array, outer_var_C: jax.Array, kept_BC: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Return the outer BatchNorm and the dropout as a factor and an offset for each sequence and channel."""
    factor_C, offset_C = as_affine(outer_mean_C, outer_var_C, parameters.outer_scale_C, parameters.outer_bias_C)
    return (factor_C[None], offset_C[None]) if kept_BC is None else (factor_C * kept_BC, offset_C * kept_BC)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _pooled_block(
    parameters: BlockParameters, x_BTWC: LazyArray, sign_C: jax.Array, pool: int, dilation: int
) -> tuple[jax.Array, BlockMoments]:
    """Return z, pooled, and the moments. Those of the inner BatchNorm are not differentiated."""
    return _forward(parameters, x_BTWC, sign_C, pool, dilation)[0]


def _forward(
    parameters: BlockParameters, x_BTWC: LazyArray, sign_C: jax.Array, pool: int, dilation: int
) -> tuple[tuple[jax.Array, BlockMoments], tuple]:
    block_input = BlockInput.of(parameters, x_BTWC, dilation)
    chunks, width, channels = block_input.chunks, block_input.width, len(sign_C)

    def put(z_BTWC: jax.Array, z_RWC: jax.Array, chunk: Chunk) -> jax.Array:
        return chunks.write(z_BTWC, max_pool_frequency(z_RWC * sign_C, pool) * sign_C, chunk)

    shape = (chunks.batch, chunks.filled_frames)
    room_BTWC, z_BTWC = rooms(block_input.buffer, (*shape, width, channels), (*shape, width // pool, channels))
    z_BTWC, _, moments = run_forward(parameters, block_input, room_BTWC, z_BTWC, put)
    return (z_BTWC[:, : chunks.frames], moments), (parameters, x_BTWC, block_input.buffer, sign_C, moments)


def _backward(
    pool: int, dilation: int, residuals: tuple, cotangents: tuple[jax.Array, BlockMoments]
) -> tuple[BlockParameters, LazyArray, None]:
    (parameters, x_BTWC, buffer, sign_C, moments), (grad_BTWC, grad_moments) = residuals, cotangents
    constant_C, slope_C = moments_gradient(moments, grad_moments, math.prod(x_BTWC.shape[:3]))
    block_input = BlockInput.of(parameters, x_BTWC, dilation, buffer)
    chunks, margins = block_input.chunks, block_input.margins
    grad_BTWC = chunks.filled(grad_BTWC)

    def grad_p(z_again: Callable[[], jax.Array], _: jax.Array, chunk: Chunk) -> jax.Array:
        z_RWC = z_again()
        grad_z_RWC = grad_of_pooled(chunks.read(grad_BTWC, chunk), z_RWC * sign_C, pool)
        return jnp.where(z_RWC > 0, grad_z_RWC + constant_C + slope_C * z_RWC, 0)

    room = Room(*rooms(grad_BTWC, margins.shape(chunks.batch, chunks, block_input.width, len(sign_C))))
    gradients, room, affine = run_backward(parameters, moments, block_input, room, grad_p)
    if isinstance(x_BTWC, Upsampled):
        return gradients, x_BTWC.gradient(room.grad, margins, chunks), None
    grad_BTWC = margins.middle(room.grad, chunks, early=True)
    return gradients, grad_BTWC if affine is None else Normalised(grad_BTWC, *affine), None


_pooled_block.defvjp(_forward, _backward)


def moments_gradient(moments: BlockMoments, grad_moments: BlockMoments, count: int) -> tuple[jax.Array, jax.Array]:
    """Return what the gradients of z's moments add to that of z: constant + slope · z.

    `count` is that of the positions of this device's sequences; the moments are those of all devices' sequences.
    """
    count *= shares()
    whole_mean_C, whole_var_C = total(grad_moments.outer_mean_C, grad_moments.outer_var_C)
    slope_C = 2 / count * whole_var_C
    return whole_mean_C / count - slope_C * moments.outer_mean_C, slope_C
