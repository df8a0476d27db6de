"""The depthwise-separable block for accelerators, whose train step moves little more than it must.

Memory is the limit there, and each launch of a kernel has its price, so that operations go over whole arrays. The
gradient of the whole block is written out: it keeps the block's input and its output before the last normalisation, and
computes the rest again. No normalised array is written: the inner BatchNorm is part of the pointwise kernel, the outer
one of what reads the output (see `Normalised`). BatchNorm's sums take one pass. Activations may be of 16 bits; sums
and statistics then are of 32.

Notation as in `madsep_jax.ops.dws.fast_parts`.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import LEAKY_SLOPE, BlockMoments, BlockParameters, grad_of_pooled, max_pool_frequency
from madsep_jax.ops.dws.fast_parts import folded_pointwise, pointwise_gradients
from madsep_jax.ops.dws.fast_pooled import moments_gradient, normalised_output, output_affine
from madsep_jax.ops.dws.folded import Folded
from madsep_jax.ops.dws.kernel_sums import kernel_gradient, shifted
from madsep_jax.ops.dws.lazy import AffineGradient, LazyArray, Normalised, as_array
from madsep_jax.ops.precision import widened
from madsep_jax.ops.shared_batch import average, is_shared

#: Parts, at most, into which the sum over all positions of a product is cut, for as many of a device's processors.
_PARTS = 128


def lean_dws_block(
    parameters: BlockParameters,
    x_BTWC: LazyArray,
    kept_BC: jax.Array | None = None,
    *,
    pool: int = 1,
    dilation: int = 1,
) -> tuple[Normalised, BlockMoments]:
    """Apply one block in training; equals `madsep_jax.ops.dws.block.dws_block`."""
    x_BTWC = x_BTWC if isinstance(x_BTWC, Normalised) else as_array(x_BTWC)
    z_BTWC, moments = _block(parameters, x_BTWC, pool, dilation)
    return normalised_output(parameters, z_BTWC, moments, kept_BC), moments


def lean_dws_blocks(
    parameters_L: BlockParameters, x_BTWC: jax.Array | Normalised, kept_LBC: jax.Array, dilation: int
) -> tuple[Normalised, BlockMoments]:
    """Apply L equal blocks in training, in a loop; equals `dws_blocks` without residual connections.

    The moments returned are not differentiated.
    """
    return _blocks(parameters_L, Normalised.of(x_BTWC)._replace(held=None), kept_LBC, dilation)


def lean_evaluation(
    parameters: BlockParameters, x_BTWC: LazyArray, moments: BlockMoments, *, pool: int = 1, dilation: int = 1
) -> jax.Array:
    """Apply one block normalised by given moments; equals `madsep_jax.ops.dws.block.dws_block` with them."""
    folded, a_BTWC = Folded.of(parameters, moments), activate(parameters, as_array(x_BTWC), dilation)
    # the factor's sign decides which value is the largest, so that it comes before the pooling
    y_BTWC = mix(a_BTWC, folded.kernel_CC, folded.bias_C) * folded.factor_C + folded.offset_C
    return max_pool_frequency(y_BTWC.astype(x_BTWC.dtype), pool)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _block(
    parameters: BlockParameters, x_BTWC: jax.Array | Normalised, pool: int, dilation: int
) -> tuple[jax.Array, BlockMoments]:
    """Return z, pooled, and the moments. Those of the inner BatchNorm are not differentiated."""
    return _forward(parameters, x_BTWC, pool, dilation)[0]


def _forward(
    parameters: BlockParameters, x_BTWC: jax.Array | Normalised, pool: int, dilation: int
) -> tuple[tuple[jax.Array, BlockMoments], tuple]:
    z_BTWC, moments = run_forward(parameters, x_BTWC, dilation)
    # Pooled before the normalisation: a negative scale makes the largest normalised value of the smallest one.
    sign_C = _signs(parameters, z_BTWC)
    pooled_BTWC = max_pool_frequency(z_BTWC * sign_C, pool) * sign_C if pool > 1 else z_BTWC
    return (pooled_BTWC, moments), (parameters, x_BTWC, z_BTWC if pool == 1 else None, moments)


def _backward(
    pool: int, dilation: int, residuals: tuple, cotangents: tuple[jax.Array, BlockMoments]
) -> tuple[BlockParameters, jax.Array | Normalised]:
    (parameters, x_BTWC, z_BTWC, moments), (grad_BTWC, grad_moments) = residuals, cotangents
    return run_backward(parameters, x_BTWC, z_BTWC, moments, grad_BTWC, grad_moments, pool, dilation)


_block.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _blocks(
    parameters_L: BlockParameters, source: Normalised, kept_LBC: jax.Array, dilation: int
) -> tuple[Normalised, BlockMoments]:
    return _forward_blocks(parameters_L, source, kept_LBC, dilation)[0]


def _forward_blocks(
    parameters_L: BlockParameters, source: Normalised, kept_LBC: jax.Array, dilation: int
) -> tuple[tuple[Normalised, BlockMoments], tuple]:
    def block(source: Normalised, xs: tuple[BlockParameters, jax.Array]) -> tuple[Normalised, tuple]:
        z_BTWC, moments = run_forward(xs[0], source, dilation)
        affine = output_affine(xs[0], moments.outer_mean_C, moments.outer_var_C, xs[1])
        return Normalised(z_BTWC, *_typed_as(source[1:3], affine)), (source, moments)

    y, (source_L, moments_L) = jax.lax.scan(block, source, (parameters_L, kept_LBC))
    return (y, moments_L), (parameters_L, kept_LBC, source_L, moments_L, y.z_BTWC)


def _backward_blocks(
    dilation: int, residuals: tuple, cotangents: tuple[Normalised, BlockMoments]
) -> tuple[BlockParameters, Normalised, jax.Array]:
    parameters_L, kept_LBC, source_L, moments_L, z_BTWC = residuals

    def block(carry: tuple[Normalised, jax.Array], xs: tuple) -> tuple[tuple, tuple]:
        (grad, z_BTWC), (parameters, kept_BC, source, moments) = carry, xs
        means_C = (moments.outer_mean_C, moments.outer_var_C)
        affine, differentiate = jax.vjp(output_affine, parameters, *means_C, kept_BC)
        outer, grad_mean_C, grad_var_C, grad_kept_BC = differentiate(_typed_as(affine, grad[1:3]))
        grad_moments = moments._replace(outer_mean_C=grad_mean_C, outer_var_C=grad_var_C)
        inner, grad = run_backward(parameters, source, z_BTWC, moments, grad.z_BTWC, grad_moments, 1, dilation)
        return (grad, source.z_BTWC), (jax.tree.map(jnp.add, inner, outer), grad_kept_BC)

    xs = (parameters_L, kept_LBC, source_L, moments_L)
    start = (cotangents[0]._replace(held=None), z_BTWC)
    (grad, _), (gradients_L, grad_kept_LBC) = jax.lax.scan(block, start, xs, reverse=True)
    return gradients_L, grad, grad_kept_LBC


_blocks.defvjp(_forward_blocks, _backward_blocks)


def run_forward(
    parameters: BlockParameters, x_BTWC: jax.Array | Normalised, dilation: int
) -> tuple[jax.Array, BlockMoments]:
    """Return z of a block in training, not pooled, and the moments of a and z."""
    middle = x_BTWC.shape[1] // 2
    a_BTWC = activate(parameters, x_BTWC, dilation)
    inner = moments_about(a_BTWC, activate(parameters, x_BTWC, dilation, slice(middle, middle + 1)))
    z_BTWC = mix(a_BTWC, *folded_pointwise(parameters, *inner))
    return z_BTWC, BlockMoments(*inner, *moments_about(z_BTWC, z_BTWC[:, middle : middle + 1]))


def run_backward(
    parameters: BlockParameters,
    x_BTWC: jax.Array | Normalised,
    z_BTWC: jax.Array | None,
    moments: BlockMoments,
    grad_BTWC: jax.Array,
    grad_moments: BlockMoments,
    pool: int,
    dilation: int,
) -> tuple[BlockParameters, jax.Array | Normalised]:
    """Return the gradients of a block's parameters (the outer BatchNorm's are 0 here) and of its input.

    z is that of `run_forward`, None to compute it again; the gradients are those of pooled z and of its moments.
    """
    wide = widened(parameters)
    kernel_CC, bias_C = folded_pointwise(parameters, moments.inner_mean_C, moments.inner_var_C)
    a_BTWC = activate(parameters, x_BTWC, dilation)
    z_BTWC = mix(a_BTWC, kernel_CC, bias_C) if z_BTWC is None else z_BTWC
    count = math.prod(z_BTWC.shape[:3])
    constant_C, slope_C = moments_gradient(moments, grad_moments, count)
    grad_z_BTWC = grad_of_pooled(grad_BTWC, z_BTWC * _signs(parameters, z_BTWC), pool)
    grad_p_BTWC = jnp.where(z_BTWC > 0, widened(grad_z_BTWC) + constant_C + slope_C * widened(z_BTWC), 0)
    sum_C = jnp.sum(grad_p_BTWC, (0, 1, 2))
    grad_p_BTWC = grad_p_BTWC.astype(z_BTWC.dtype)
    product_CC = _summed_product(a_BTWC, grad_p_BTWC)
    pointwise = pointwise_gradients(wide, moments, product_CC, sum_C, count)
    grad_a_BTWC = _product(grad_p_BTWC, kernel_CC.T.astype(z_BTWC.dtype))
    grad_a_BTWC = grad_a_BTWC - pointwise.constant_C - pointwise.slope_C * widened(a_BTWC)
    grad_u_BTWC = jnp.where(a_BTWC >= 0, grad_a_BTWC, LEAKY_SLOPE * grad_a_BTWC)
    grad_bias_C = jnp.sum(grad_u_BTWC, (0, 1, 2))
    grad_u_BTWC = grad_u_BTWC.astype(z_BTWC.dtype)
    grad_KKC = kernel_gradient(x_BTWC, grad_u_BTWC, len(parameters.depthwise_kernel_KKC), dilation)
    gradients = BlockParameters(grad_KKC, grad_bias_C, *pointwise.gradients, *(jnp.zeros_like(sum_C),) * 2)
    grad_x_BTWC = tap_sum(grad_u_BTWC, wide.depthwise_kernel_KKC[::-1, ::-1], dilation)
    if x_BTWC.shape[-1] == 1:
        grad_x_BTWC = jnp.sum(grad_x_BTWC, -1, keepdims=True)
    return _typed_as(parameters, gradients), _source_gradient(x_BTWC, grad_x_BTWC)


def activate(
    parameters: BlockParameters, x_BTWC: jax.Array | Normalised, dilation: int, frames: slice | None = None
) -> jax.Array:
    """Return a, of all frames or some."""
    wide = widened(parameters)
    u_BTWC = tap_sum(x_BTWC, wide.depthwise_kernel_KKC, dilation, frames) + wide.depthwise_bias_C
    return jnp.maximum(u_BTWC, LEAKY_SLOPE * u_BTWC).astype(x_BTWC.dtype)


def mix(a_BTWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array) -> jax.Array:
    """Return z."""
    return jnp.maximum(_product(a_BTWC, kernel_CC.astype(a_BTWC.dtype)) + bias_C, 0).astype(a_BTWC.dtype)


def moments_about(x_BTWC: jax.Array, near_BTWC: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance of each channel, over the whole batch where devices share it, in one pass.

    Sums are those of differences from the mean of `near`, a part of x: where a channel's mean is large, its variance
    would be lost in the rounding of the squares.
    """
    near_C = jnp.mean(widened(near_BTWC), (0, 1, 2))
    from_near_BTWC = widened(x_BTWC) - near_C
    offset_C = jnp.mean(from_near_BTWC, (0, 1, 2))
    var_C = jnp.maximum(jnp.mean(jnp.square(from_near_BTWC), (0, 1, 2)) - jnp.square(offset_C), 0)
    if not is_shared():
        return near_C + offset_C, var_C
    mean_C = average(near_C + offset_C)
    return mean_C, average(var_C + jnp.square(near_C + offset_C - mean_C))


def tap_sum(
    x_BTWC: jax.Array | Normalised, kernel_KKC: jax.Array, dilation: int, frames: slice | None = None
) -> jax.Array:
    """Convolve each channel with its own kernel, as a sum of shifted inputs; of all frames, or some."""
    frames, (side, _, channels) = frames or slice(0, x_BTWC.shape[1]), kernel_KKC.shape
    sum_BTWC = jnp.zeros((), kernel_KKC.dtype)
    for (i, j), shifted_BTWC in shifted(x_BTWC, side, dilation, frames):
        sum_BTWC = sum_BTWC + shifted_BTWC * kernel_KKC[i, j]
    return jnp.broadcast_to(sum_BTWC, (*sum_BTWC.shape[:3], channels))


def _source_gradient(x_BTWC: jax.Array | Normalised, grad_x_BTWC: jax.Array) -> jax.Array | Normalised:
    if not isinstance(x_BTWC, Normalised):
        return grad_x_BTWC.astype(x_BTWC.dtype)
    affine = AffineGradient(jnp.sum(grad_x_BTWC * x_BTWC.z_BTWC, (1, 2)), jnp.sum(grad_x_BTWC, (1, 2)))
    grad_z_BTWC = grad_x_BTWC * x_BTWC.factor_BC[:, None, None]
    return Normalised(*_typed_as(x_BTWC[:3], (grad_z_BTWC, *affine)))


def _signs(parameters: BlockParameters, z_BTWC: jax.Array) -> jax.Array:
    return jnp.where(parameters.outer_scale_C < 0, -1, 1).astype(z_BTWC.dtype)


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return a matrix product of activations, summed up in the precision of the statistics."""
    return jnp.matmul(left, right, preferred_element_type=jnp.promote_types(left.dtype, jnp.float32))


def _summed_product(left_BTWC: jax.Array, right_BTWC: jax.Array) -> jax.Array:
    """Return the sum over positions of left times right, (C, C).

    By parts of some frames, since XLA, left to cut so long a sum by itself, first copies both arrays.
    """
    batch, frames, _, channels = left_BTWC.shape
    parts = max(part for part in range(1, _PARTS + 1) if batch * frames % part == 0)
    left_PNC, right_PNC = (x.reshape(parts, -1, channels) for x in (left_BTWC, right_BTWC))
    return jnp.sum(_product(jnp.swapaxes(left_PNC, 1, 2), right_PNC), 0)


def _typed_as(pattern: Any, values: Any) -> Any:
    """Return the values, a tree like the pattern, in the types of its arrays."""
    leaves, structure = jax.tree.flatten(pattern)
    typed = [value.astype(leaf.dtype) for value, leaf in zip(jax.tree.leaves(values), leaves, strict=True)]
    return jax.tree.unflatten(structure, typed)
