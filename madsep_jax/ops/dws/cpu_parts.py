"""The parts of the lean block on a CPU: what defines them, in the order in which XLA's code for CPUs is fast.

A part is a few loops over whole arrays. Left to itself, the compiler computes what several of them read again in each,
and what a kernel's elements read once for every element; a barrier has it written once. The depthwise kernel's gradient
is summed as the plain form does it, and for an input of one channel it is a matrix product.

Names, arguments and results are those of `madsep_jax.ops.dws.lean_parts`.
"""

import functools

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws import depthwise
from madsep_jax.ops.dws.block import LEAKY_SLOPE, BlockParameters, max_pool_frequency, moments_of
from madsep_jax.ops.dws.lazy import AffineGradient, Normalised
from madsep_jax.ops.precision import widened

Moments = tuple[jax.Array, jax.Array]

#: A product of that many channels or fewer takes longer than as many sums of vectors.
_FEW_CHANNELS = 16


def activated(parameters: BlockParameters, source: Normalised, dilation: int) -> tuple[jax.Array, Moments]:
    """Return a, and its moments."""
    a_BTWC = activation(source, parameters.depthwise_kernel_KKC, parameters.depthwise_bias_C, dilation)
    return a_BTWC, moments_of(a_BTWC)


def activation(source: Normalised, kernel_KKC: jax.Array, bias_C: jax.Array, dilation: int) -> jax.Array:
    """Return a."""
    padded_BTWC = _written(_padded(source, len(kernel_KKC), dilation))
    u_BTWC = _tap_sum(padded_BTWC, kernel_KKC, dilation) + bias_C
    return _written(jnp.maximum(u_BTWC, LEAKY_SLOPE * u_BTWC).astype(source.dtype))


def mix(a_BTWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array) -> jax.Array:
    """Return z."""
    channels = a_BTWC.shape[-1]
    if channels > _FEW_CHANNELS:
        p_BTWC = a_BTWC @ kernel_CC.astype(a_BTWC.dtype) + bias_C
    else:
        p_BTWC = sum((a_BTWC[..., c, None] * kernel_CC[c] for c in range(channels)), bias_C)
    return _written(jnp.maximum(p_BTWC, 0).astype(a_BTWC.dtype))


def mixed(
    a_BTWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array, sign_C: jax.Array, *, pool: int
) -> tuple[jax.Array, Moments]:
    """Return z from a, pooled, and the moments of what it was pooled from."""
    z_BTWC = mix(a_BTWC, kernel_CC, bias_C)
    moments = moments_of(z_BTWC)
    if pool == 1:
        return z_BTWC, moments
    sign_C = sign_C.astype(z_BTWC.dtype)
    return max_pool_frequency(z_BTWC * sign_C, pool) * sign_C, moments


def kernel_gradient(source: Normalised, grad_u_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """Return the gradient of the depthwise kernel."""
    if source.shape[-1] > 1:
        return depthwise.kernel_gradient(_written(widened(source.array())), widened(grad_u_BTWC), side, dilation)
    padded_BTW = _written(_padded(source, side, dilation)[..., 0])
    return _product_with_patches(padded_BTW, widened(grad_u_BTWC), side, dilation)


def source_gradient(source: Normalised, grad_u_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int) -> Normalised:
    """Return the gradient of the block's input."""
    padded_BTWC = _written(_padded(grad_u_BTWC, len(kernel_KKC), dilation))
    grad_x_BTWC = _tap_sum(padded_BTWC, kernel_KKC[::-1, ::-1], dilation)
    if source.shape[-1] == 1:
        grad_x_BTWC = jnp.sum(grad_x_BTWC, -1, keepdims=True)
    grad_x_BTWC = _written(grad_x_BTWC)
    affine = AffineGradient(jnp.sum(grad_x_BTWC * source.z_BTWC, (1, 2)), jnp.sum(grad_x_BTWC, (1, 2)))
    grad = Normalised(grad_x_BTWC * source.factor_BC[:, None, None], *affine)
    return jax.tree.map(lambda value, like: value.astype(like.dtype), grad, source)


def _padded(source: Normalised | jax.Array, side: int, dilation: int) -> jax.Array:
    """Return an array with what its kernel reads around it, zeros, as precise as its statistics."""
    x_BTWC = source.array() if isinstance(source, Normalised) else source
    half = side // 2
    return jnp.pad(_written(widened(x_BTWC)), ((0, 0), (half * dilation,) * 2, (half,) * 2, (0, 0)))


def _tap_sum(padded_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int) -> jax.Array:
    side = len(kernel_KKC)
    frames, width = padded_BTWC.shape[1] - (side - 1) * dilation, padded_BTWC.shape[2] - (side - 1)
    taps = ((i, j) for i in range(side) for j in range(side))
    products = (padded_BTWC[:, i * dilation :, j:][:, :frames, :width] * kernel_KKC[i, j] for i, j in taps)
    return functools.reduce(jnp.add, products)


def _product_with_patches(padded_BTW: jax.Array, grad_u_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """Return the kernel's gradient for an input of one channel.

    A few neighbouring frequencies together are a row of one matrix; what the kernel reads for any of them is one of the
    other. So that one is read for all of them at once, and of the product only what belongs to the kernel is taken.
    """
    _, frames, width, channels = grad_u_BTWC.shape
    together = next(number for number in (3, 2, 1) if width % number == 0)
    end, columns = width - together + 1, together + side - 1
    places = [(i * dilation, j) for i in range(side) for j in range(columns)]
    patches = jnp.stack([padded_BTW[:, i : i + frames, j : j + end : together] for i, j in places], -1)
    product = patches.reshape(-1, len(places)).T @ grad_u_BTWC.reshape(-1, together * channels)
    product = product.reshape(side, columns, together, channels)
    return functools.reduce(jnp.add, (product[:, number : number + side, number] for number in range(together)))


def _written(array: jax.Array) -> jax.Array:
    """Have an array written once, before anything reads it."""
    return jax.lax.optimization_barrier(array)
