"""The blocks for TPUs: sequences side by side in the lanes, and a gradient that reads each array a few times.

A TPU's memory holds the last axis in groups of 128 lanes. Of an array of 64 channels half would be padding, so two
sequences lie side by side there, and 128 // C of them in general: (B / p, T, W, p · C). What a block does to each
channel is the same for all of them; the pointwise product takes a kernel with p copies of itself on its diagonal, which
costs nothing, as the processor multiplies 128 channels at a time; BatchNorm's sums are taken over the p copies.

For the gradient a block keeps its input and what its last BatchNorm normalises. It computes the rest again:

- the depthwise convolution is one sum of shifted arrays, its kernel's gradient one reduction with as many results as
  the kernel has elements. XLA makes each of them one pass; its own convolution is several, and takes long to compile;
- of an input of one channel, whose last axis would be padded 128 times, it is a matrix product with the shifted inputs;
- the first normalisation is folded into the pointwise product, and its gradient's sums follow from the product's.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import (
    EPSILON,
    LEAKY_SLOPE,
    BlockMoments,
    BlockParameters,
    as_affine,
    over_blocks,
)
from madsep_jax.ops.dws.lazy import LazyArray, Upsampled, as_array
from madsep_jax.ops.dws.shifts import chosen_of, patches_of, shifted_total, shifts_of, spread
from madsep_jax.ops.precision import widened
from madsep_jax.ops.shared_batch import shares, total

_LANES = 128


def packed_block(
    parameters: BlockParameters, x_BTWC: LazyArray, kept_BC: jax.Array | None, *, pool: int = 1
) -> tuple[jax.Array, BlockMoments]:
    """Apply one block in training; see `madsep_jax.ops.dws.block.dws_block`."""
    batch, channels = x_BTWC.shape[0], parameters.depthwise_bias_C.shape[-1]
    packs = packs_of(batch, channels)
    if isinstance(x_BTWC, Upsampled):
        up = x_BTWC
        kernel = jnp.stack([_repeated(up.kernel_C2C[:, tap], packs) for tap in range(2)], 1)
        source = Upsampled(_packed(as_array(up.x_BTWC), packs), kernel, jnp.tile(up.bias_C, packs)).array()
    else:
        source = _packed(as_array(x_BTWC), packs)
    kept = _packed(_kept(kept_BC, (batch, channels), parameters), packs)
    y, moments = _block(_packed_parameters(parameters, packs), source, kept, pool, 1, packs)
    return _unpacked(y, packs), jax.tree.map(lambda value: value[:channels], moments)


def packed_blocks(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array,
    kept_LBC: jax.Array | None,
    *,
    dilations: tuple[int, ...] = (1,),
    residual: bool = False,
    unrolled: bool = False,
    wrap: Callable[[Any], Any] = lambda block: block,
) -> tuple[jax.Array, BlockMoments]:
    """Apply equal blocks in training; see `madsep_jax.ops.dws.block.dws_blocks`."""
    layers, channels = parameters_L.depthwise_bias_C.shape
    packs = packs_of(x_BTWC.shape[0], channels)

    def apply(x: jax.Array, block: Any, dilation: int) -> tuple[jax.Array, BlockMoments]:
        parameters, kept = block
        y, moments = _block(parameters, x, kept, 1, dilation, packs)
        return x + y if residual else y, moments

    kept_L = jax.vmap(lambda kept_BC: _packed(kept_BC, packs))(
        _kept(kept_LBC, (layers, x_BTWC.shape[0], channels), parameters_L)
    )
    blocks_L = (jax.vmap(lambda parameters: _packed_parameters(parameters, packs))(parameters_L), kept_L)
    y, moments_L = over_blocks(wrap(apply), _packed(x_BTWC, packs), blocks_L, dilations, unrolled)
    return _unpacked(y, packs), jax.tree.map(lambda value_L: value_L[:, :channels], moments_L)


def packs_of(batch: int, channels: int) -> int:
    """Return how many sequences lie side by side: as many as divide the batch and fit into the lanes."""
    return max(
        count for count in range(1, batch + 1) if batch % count == 0 and (count == 1 or count * channels <= _LANES)
    )


def _kept(kept: jax.Array | None, shape: tuple[int, ...], parameters: BlockParameters) -> jax.Array:
    return jnp.ones(shape, parameters.depthwise_bias_C.dtype) if kept is None else kept


def _packed(x: jax.Array, packs: int) -> jax.Array:
    """Put (B, …, C) into (B / p, …, p · C)."""
    if packs == 1:
        return x
    parts = jnp.moveaxis(x.reshape(packs, -1, *x.shape[1:]), 0, -2)
    return parts.reshape(*parts.shape[:-2], -1)


def _unpacked(x: jax.Array, packs: int) -> jax.Array:
    """Undo `_packed`."""
    if packs == 1:
        return x
    parts = jnp.moveaxis(x.reshape(*x.shape[:-1], packs, -1), -2, 0)
    return parts.reshape(-1, *parts.shape[2:])


def _packed_parameters(parameters: BlockParameters, packs: int) -> BlockParameters:
    def tiled(value: jax.Array) -> jax.Array:
        return jnp.concatenate([value] * packs, -1)

    pointwise = _repeated(parameters.pointwise_kernel_CC, packs)
    return BlockParameters(*map(tiled, parameters))._replace(pointwise_kernel_CC=pointwise)


def _repeated(kernel_CC: jax.Array, packs: int) -> jax.Array:
    """Put copies of a matrix on the diagonal of a larger one."""
    return jnp.kron(jnp.eye(packs, dtype=kernel_CC.dtype), kernel_CC) if packs > 1 else kernel_CC


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _block(
    parameters: BlockParameters, x: jax.Array, kept: jax.Array, pool: int, dilation: int, packs: int
) -> tuple[jax.Array, BlockMoments]:
    """Apply a block to packed arrays. The gradient by `kept` and of the moments is taken to be zero."""
    return _forward(parameters, x, kept, pool, dilation, packs)[0]


def _forward(
    parameters: BlockParameters, x: jax.Array, kept: jax.Array, pool: int, dilation: int, packs: int
) -> tuple[tuple[jax.Array, BlockMoments], tuple]:
    p = parameters
    h = _hidden(p, x, dilation, packs)
    inner = _moments(h, packs)
    factor_C, offset_C = as_affine(*inner, p.inner_scale_C, p.inner_bias_C)
    kernel_CC = factor_C[:, None] * p.pointwise_kernel_CC
    bias_C = offset_C @ widened(p.pointwise_kernel_CC) + p.pointwise_bias_C
    z = jax.nn.relu(h @ kernel_CC.astype(h.dtype) + bias_C.astype(h.dtype))
    moments = BlockMoments(*inner, *_moments(z, packs))
    factor_C, offset_C = as_affine(*moments[2:], p.outer_scale_C, p.outer_bias_C)
    chosen = chosen_of(z, p.outer_scale_C, pool)
    y = (chosen * factor_C + offset_C).astype(z.dtype) * kept[:, None, None].astype(z.dtype)
    return (y, moments), (p, x, kept, z, moments)


def _backward(pool: int, dilation: int, packs: int, kept_for_it: tuple, grads: tuple) -> tuple:
    p, x, kept, z, moments = kept_for_it
    channels = z.shape[-1]
    positions = z.size // channels * packs * shares()
    grad_y = widened(grads[0] * kept[:, None, None].astype(z.dtype))
    outer_rate_C = jax.lax.rsqrt(moments.outer_var_C + EPSILON)
    # What is chosen by the pooling has all of the gradient, so that the sums need only that.
    centred = widened(chosen_of(z, p.outer_scale_C, pool)) - moments.outer_mean_C
    grad_outer_bias_C = jnp.sum(grad_y, (0, 1, 2))
    grad_outer_scale_C = jnp.sum(grad_y * centred, (0, 1, 2)) * outer_rate_C
    grad = grad_y if pool == 1 else spread(grad_y, z, p.outer_scale_C, pool)
    z_centred = widened(z) - moments.outer_mean_C
    mean_C = _summed(grad_outer_bias_C, packs) / positions
    slope_C = _summed(grad_outer_scale_C, packs) * outer_rate_C / positions
    grad_z = jnp.where(z > 0, (grad - mean_C - z_centred * slope_C) * (p.outer_scale_C * outer_rate_C), 0)
    grad_pointwise_bias_C = jnp.sum(grad_z, (0, 1, 2))
    grad_z = grad_z.astype(z.dtype)

    h = _hidden(p, x, dilation, packs)
    factor_C, offset_C = as_affine(moments.inner_mean_C, moments.inner_var_C, p.inner_scale_C, p.inner_bias_C)
    inner_rate_C = jax.lax.rsqrt(moments.inner_var_C + EPSILON)
    kernel_CC = widened(p.pointwise_kernel_CC)
    product_CC = jnp.einsum("btwc,btwd->cd", h, grad_z, preferred_element_type=kernel_CC.dtype)
    grad_kernel_CC = factor_C[:, None] * product_CC + offset_C[:, None] * grad_pointwise_bias_C
    grad_inner_bias_C = kernel_CC @ grad_pointwise_bias_C
    grad_inner_scale_C = (jnp.sum(kernel_CC * product_CC, 1) - moments.inner_mean_C * grad_inner_bias_C) * inner_rate_C
    mean_C = _summed(grad_inner_bias_C, packs) / positions
    slope_C = _summed(grad_inner_scale_C, packs) * inner_rate_C / positions
    grad_h = widened(grad_z @ (kernel_CC.T * factor_C).astype(z.dtype))
    grad_h = grad_h - factor_C * (mean_C + (widened(h) - moments.inner_mean_C) * slope_C)
    grad_a = grad_h * jnp.where(h > 0, 1, LEAKY_SLOPE)
    grad_bias_C = jnp.sum(grad_a, (0, 1, 2))
    grad_kernel_KKC, grad_x = _depthwise_gradient(p, x, grad_a.astype(x.dtype), dilation, packs)
    found = BlockParameters(
        grad_kernel_KKC,
        grad_bias_C,
        grad_inner_scale_C,
        grad_inner_bias_C,
        grad_kernel_CC,
        grad_pointwise_bias_C,
        grad_outer_scale_C,
        grad_outer_bias_C,
    )
    grad_parameters = jax.tree.map(lambda value, like: value.astype(like.dtype), found, p)
    return grad_parameters, grad_x, jnp.zeros_like(kept)


_block.defvjp(_forward, _backward)


def _moments(h: jax.Array, packs: int) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance of each channel, in one pass over the array."""
    h = widened(h)
    positions = h.size // h.shape[-1] * packs * shares()
    mean_C = _summed(jnp.sum(h, (0, 1, 2)), packs) / positions
    square_C = _summed(jnp.sum(jnp.square(h), (0, 1, 2)), packs) / positions
    return mean_C, jnp.maximum(square_C - jnp.square(mean_C), 0)


def _summed(part_C: jax.Array, packs: int) -> jax.Array:
    """Add up the copies of each channel, on all devices that share the batch."""
    return total(jnp.tile(jnp.sum(part_C.reshape(packs, -1), 0), packs))


def _hidden(p: BlockParameters, x: jax.Array, dilation: int, packs: int) -> jax.Array:
    """Return what the first BatchNorm normalises."""
    kernel_KKC = p.depthwise_kernel_KKC
    if _has_one_channel(x, kernel_KKC, packs):
        a = jnp.einsum("btkw,kc->btwc", patches_of(x, kernel_KKC.shape[0], dilation), _flat_kernel(kernel_KKC, packs))
    else:
        a = shifted_total(x, kernel_KKC, dilation)
    return jax.nn.leaky_relu(a + p.depthwise_bias_C.astype(a.dtype), LEAKY_SLOPE)


def _depthwise_gradient(
    p: BlockParameters, x: jax.Array, grad: jax.Array, dilation: int, packs: int
) -> tuple[jax.Array, jax.Array]:
    """Return the gradients of kernel and input."""
    kernel_KKC = p.depthwise_kernel_KKC
    side = kernel_KKC.shape[0]
    if _has_one_channel(x, kernel_KKC, packs):
        patches, of_x = jax.vjp(lambda x: patches_of(x, side, dilation), x)
        flat, of_kernel = jax.vjp(lambda kernel: _flat_kernel(kernel, packs), kernel_KKC)
        grad_flat = jnp.einsum("btkw,btwc->kc", patches, grad).astype(flat.dtype)
        return of_kernel(grad_flat)[0], of_x(jnp.einsum("btwc,kc->btkw", grad, flat).astype(x.dtype))[0]
    shifts = [jnp.sum(widened(shifted) * widened(grad), (0, 1, 2)) for shifted in shifts_of(x, side, dilation)]
    grad_x = shifted_total(grad, kernel_KKC[::-1, ::-1], dilation)
    return jnp.stack(shifts).reshape(side, side, -1), grad_x


def _has_one_channel(x: jax.Array, kernel_KKC: jax.Array, packs: int) -> bool:
    return x.shape[-1] == packs and kernel_KKC.shape[-1] != packs


def _flat_kernel(kernel_KKC: jax.Array, packs: int) -> jax.Array:
    """Return what `patches_of` are multiplied by: (p · side², p · C)."""
    side = kernel_KKC.shape[0]
    return _repeated(kernel_KKC[..., : kernel_KKC.shape[-1] // packs].reshape(side * side, -1), packs)
