"""The depthwise-separable block for GPUs, and for small arrays on a CPU: its train step moves little more than it must.

Memory is the limit there, and each launch of a kernel has its price, so that operations go over whole arrays. The
gradient of the whole block is written out: it keeps the block's input and its output before the last normalisation, and
computes the rest again. No normalised array is written: the inner BatchNorm is part of the pointwise kernel, the outer
one of what reads the output (see `Normalised`). BatchNorm's sums take one pass. Activations may be of 16 bits; sums
and statistics then are of 32.

Notation as in `madsep_jax.ops.dws.fast_parts`.
"""

import functools
import math

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import BlockMoments, BlockParameters, max_pool_frequency
from madsep_jax.ops.dws.fast_parts import folded_pointwise, pointwise_gradients
from madsep_jax.ops.dws.fast_pooled import moments_gradient, normalised_output, output_affine
from madsep_jax.ops.dws.folded import Folded
from madsep_jax.ops.dws.lazy import LazyArray, Normalised, as_array
from madsep_jax.ops.dws.lean_parts import by_device, source_gradient, typed_as
from madsep_jax.ops.precision import widened


def lean_dws_block(
    parameters: BlockParameters,
    x_BTWC: LazyArray,
    kept_BC: jax.Array | None = None,
    *,
    pool: int = 1,
    dilation: int = 1,
) -> tuple[Normalised, BlockMoments]:
    """Apply one block in training; equals `madsep_jax.ops.dws.block.dws_block`."""
    source = x_BTWC._replace(held=None) if isinstance(x_BTWC, Normalised) else _unit(as_array(x_BTWC))
    z_BTWC, moments = _block(parameters, source, pool, dilation)
    return normalised_output(parameters, z_BTWC, moments, kept_BC), moments


def lean_dws_blocks(
    parameters_L: BlockParameters, x_BTWC: jax.Array | Normalised, kept_LBC: jax.Array, dilation: int
) -> tuple[Normalised, BlockMoments]:
    """Apply L equal blocks in training, in a loop; equals `dws_blocks` without residual connections.

    The moments returned are not differentiated.
    """
    source = x_BTWC._replace(held=None) if isinstance(x_BTWC, Normalised) else _unit(x_BTWC)
    return _blocks(parameters_L, source, kept_LBC, dilation)


def lean_evaluation(
    parameters: BlockParameters, x_BTWC: LazyArray, moments: BlockMoments, *, pool: int = 1, dilation: int = 1
) -> jax.Array:
    """Apply one block normalised by given moments; equals `madsep_jax.ops.dws.block.dws_block` with them."""
    folded, source = Folded.of(parameters, moments), Normalised.of(as_array(x_BTWC))
    depthwise = parameters.depthwise_kernel_KKC, parameters.depthwise_bias_C
    a_BTWC = by_device("activation", source, *depthwise, dilation=dilation)
    # the factor's sign decides which value is the largest, so that it comes before the pooling
    z_BTWC = by_device("mix", a_BTWC, folded.kernel_CC, folded.bias_C)
    y_BTWC = z_BTWC * folded.factor_C + folded.offset_C
    return max_pool_frequency(y_BTWC.astype(x_BTWC.dtype), pool)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _block(parameters: BlockParameters, source: Normalised, pool: int, dilation: int) -> tuple[jax.Array, BlockMoments]:
    """Return z, pooled, and the moments. Those of the inner BatchNorm are not differentiated."""
    return _forward(parameters, source, pool, dilation)[0]


def _forward(
    parameters: BlockParameters, source: Normalised, pool: int, dilation: int
) -> tuple[tuple[jax.Array, BlockMoments], tuple]:
    z_BTWC, moments = run_forward(parameters, source, pool, dilation)
    return (z_BTWC, moments), (parameters, source, z_BTWC if pool == 1 else None, moments)


def _backward(
    pool: int, dilation: int, residuals: tuple, cotangents: tuple[jax.Array, BlockMoments]
) -> tuple[BlockParameters, Normalised]:
    (parameters, source, z_BTWC, moments), (grad_BTWC, grad_moments) = residuals, cotangents
    return run_backward(parameters, source, z_BTWC, moments, grad_BTWC, grad_moments, pool, dilation)


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
        z_BTWC, moments = run_forward(xs[0], source, 1, dilation)
        affine = output_affine(xs[0], moments.outer_mean_C, moments.outer_var_C, xs[1])
        return Normalised(z_BTWC, *typed_as(tuple(source[1:3]), affine)), (source, moments)

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
        outer, grad_mean_C, grad_var_C, grad_kept_BC = differentiate(typed_as(affine, tuple(grad[1:3])))
        grad_moments = moments._replace(outer_mean_C=grad_mean_C, outer_var_C=grad_var_C)
        inner, grad = run_backward(parameters, source, z_BTWC, moments, grad.z_BTWC, grad_moments, 1, dilation)
        return (grad, source.z_BTWC), (jax.tree.map(jnp.add, inner, outer), grad_kept_BC)

    xs = (parameters_L, kept_LBC, source_L, moments_L)
    start = (cotangents[0]._replace(held=None), z_BTWC)
    (grad, _), (gradients_L, grad_kept_LBC) = jax.lax.scan(block, start, xs, reverse=True)
    return gradients_L, grad, grad_kept_LBC


_blocks.defvjp(_forward_blocks, _backward_blocks)


def run_forward(
    parameters: BlockParameters, source: Normalised, pool: int, dilation: int
) -> tuple[jax.Array, BlockMoments]:
    """Return z of a block in training, pooled, and the moments of a and of z before that."""
    wide = widened(parameters)
    a_BTWC, inner = by_device("activated", wide, source, dilation=dilation)
    z_BTWC, outer = by_device("mixed", a_BTWC, *folded_pointwise(wide, *inner), _sign_C(wide), pool=pool)
    return z_BTWC, BlockMoments(*inner, *outer)


def run_backward(
    parameters: BlockParameters,
    source: Normalised,
    z_BTWC: jax.Array | None,
    moments: BlockMoments,
    grad_BTWC: jax.Array,
    grad_moments: BlockMoments,
    pool: int,
    dilation: int,
) -> tuple[BlockParameters, Normalised]:
    """Return the gradients of a block's parameters (the outer BatchNorm's are 0 here) and of its input.

    z is that of `run_forward`, None where it was pooled: then it is computed again. The gradients are those of z as it
    was returned, and of its moments.
    """
    wide, count = widened(parameters), math.prod(source.shape[:3])
    kernel_CC, bias_C = folded_pointwise(wide, moments.inner_mean_C, moments.inner_var_C)
    of_z = moments_gradient(moments, grad_moments, count)
    a_BTWC, _ = by_device("activated", wide, source, dilation=dilation)
    if z_BTWC is None:  # what is given from here on is the gradient of p
        given = a_BTWC, kernel_CC, bias_C, _sign_C(wide), grad_BTWC, of_z
        grad_BTWC = by_device("pooled_gradient", *given, pool=pool)
    product_CC, sum_C = by_device("products", a_BTWC, grad_BTWC, z_BTWC, *of_z)
    pointwise = pointwise_gradients(wide, moments, product_CC, sum_C, count)
    constants = (*of_z, pointwise.constant_C, pointwise.slope_C)
    grad_u_BTWC, grad_bias_C = by_device("activation_gradient", a_BTWC, grad_BTWC, z_BTWC, constants, kernel_CC)
    side = len(parameters.depthwise_kernel_KKC)
    grad_KKC = by_device("kernel_gradient", source, grad_u_BTWC, side=side, dilation=dilation)
    gradients = BlockParameters(grad_KKC, grad_bias_C, *pointwise.gradients, *(jnp.zeros_like(sum_C),) * 2)
    from_u = source, grad_u_BTWC, wide.depthwise_kernel_KKC
    if source.shape[-1] == 1:
        return typed_as(parameters, gradients), source_gradient(*from_u, dilation)
    return typed_as(parameters, gradients), by_device("source_gradient", *from_u, dilation=dilation)


def _unit(x_BTWC: jax.Array) -> Normalised:
    """Return an array as one that is normalised by 1 and 0, these as wide as the statistics."""
    unit_BC = jnp.ones((len(x_BTWC), x_BTWC.shape[-1]), jnp.promote_types(x_BTWC.dtype, jnp.float32))
    return Normalised(x_BTWC, unit_BC, 0 * unit_BC)


def _sign_C(parameters: BlockParameters) -> jax.Array:
    scale_C = parameters.outer_scale_C
    return jnp.where(scale_C < 0, -1, 1).astype(scale_C.dtype)
