"""The parts from which the lean block is put together, as they are defined, and where another form of them runs.

Notation as in `madsep_jax.ops.dws.fast_parts`. Inputs are `Normalised`, so that the normalisation is part of what reads
them. Parameters and sums are float32 or wider, activations may be of 16 bits.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws import cpu_parts, gpu_products, gpu_taps
from madsep_jax.ops.dws.block import LEAKY_SLOPE, BlockParameters, grad_of_pooled, max_pool_frequency
from madsep_jax.ops.dws.lazy import AffineGradient, Normalised
from madsep_jax.ops.precision import widened
from madsep_jax.ops.shared_batch import average, is_shared


def by_device(part: str, *arguments: Any, **static: Any) -> Any:
    """Run a part: its Pallas kernel on NVIDIA's GPUs, its own form on a CPU, what defines it elsewhere."""
    forms = (_of_gpu(part), _of(part, cpu_parts), globals()[part])
    cuda, cpu, default = (functools.partial(form, **static) for form in forms)
    return jax.lax.platform_dependent(*arguments, cuda=cuda, cpu=cpu, default=default)


def _of_gpu(part: str) -> Callable[..., Any]:
    return _of(part, gpu_taps, gpu_products)


def _of(part: str, *modules: Any) -> Callable[..., Any]:
    """Return the form of a part that a module has, or else what defines it."""
    return next((getattr(module, part) for module in modules if hasattr(module, part)), globals()[part])


def activated(
    parameters: BlockParameters, source: Normalised, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return a, and its moments."""
    kernel_KKC, bias_C = parameters.depthwise_kernel_KKC, parameters.depthwise_bias_C
    middle = source.shape[1] // 2
    near_BTWC = activation(source, kernel_KKC, bias_C, dilation, slice(middle, middle + 1))
    a_BTWC = activation(source, kernel_KKC, bias_C, dilation)
    return a_BTWC, moments_about(a_BTWC, near_BTWC)


def mixed(
    a_BTWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array, sign_C: jax.Array, *, pool: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return z from a by the folded pointwise kernel, pooled, and the moments of what it was pooled from.

    Times its sign, the largest value is kept: a negative scale makes the largest normalised one of the smallest.
    """
    z_BTWC = mix(a_BTWC, kernel_CC, bias_C)
    middle = z_BTWC.shape[1] // 2
    moments = moments_about(z_BTWC, z_BTWC[:, middle : middle + 1])
    if pool == 1:
        return z_BTWC, moments
    sign_C = sign_C.astype(z_BTWC.dtype)
    return max_pool_frequency(z_BTWC * sign_C, pool) * sign_C, moments


def pooled_gradient(
    a_BTWC: jax.Array,
    kernel_CC: jax.Array,
    bias_C: jax.Array,
    sign_C: jax.Array,
    grad_BTWC: jax.Array,
    of_z: tuple[jax.Array, jax.Array],
    *,
    pool: int,
) -> jax.Array:
    """Return ∂p from the gradient of pooled z, which is computed again; see `mixed` and `grad_of_product`."""
    z_BTWC = mix(a_BTWC, kernel_CC, bias_C)
    grad_z_BTWC = grad_of_pooled(grad_BTWC, z_BTWC * sign_C.astype(z_BTWC.dtype), pool)
    return grad_of_product(grad_z_BTWC, z_BTWC, *of_z).astype(a_BTWC.dtype)


def products(
    a_BTWC: jax.Array, grad_BTWC: jax.Array, z_BTWC: jax.Array | None, constant_C: jax.Array, slope_C: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return aᵀ · ∂p, (C, C), and the sum of ∂p; see `grad_of_product`."""
    grad_p_BTWC = grad_of_product(grad_BTWC, z_BTWC, constant_C, slope_C)
    grad_p_NC = grad_p_BTWC.astype(a_BTWC.dtype).reshape(-1, a_BTWC.shape[-1])
    return _product(a_BTWC.reshape(grad_p_NC.shape).T, grad_p_NC), jnp.sum(grad_p_BTWC, (0, 1, 2))


def activation_gradient(
    a_BTWC: jax.Array,
    grad_BTWC: jax.Array,
    z_BTWC: jax.Array | None,
    constants: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    kernel_CC: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return ∂u, and its sum.

    The constants are the two of `grad_of_product` and the two of `PointwiseGradients`; the kernel is the folded one.
    """
    *of_z, constant_C, slope_C = constants
    grad_p_BTWC = grad_of_product(grad_BTWC, z_BTWC, *of_z).astype(a_BTWC.dtype)
    grad_a_BTWC = _product(grad_p_BTWC, kernel_CC.T.astype(a_BTWC.dtype)) - constant_C - slope_C * widened(a_BTWC)
    grad_u_BTWC = jnp.where(a_BTWC >= 0, grad_a_BTWC, LEAKY_SLOPE * grad_a_BTWC)
    return grad_u_BTWC.astype(a_BTWC.dtype), jnp.sum(grad_u_BTWC, (0, 1, 2))


def kernel_gradient(source: Normalised, grad_u_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """Return the gradient of the depthwise kernel."""
    wide_BTWC = widened(grad_u_BTWC)
    read = _shifted(source, side, dilation, slice(0, source.shape[1]))
    return jnp.stack([jnp.sum(x_BTWC * wide_BTWC, (0, 1, 2)) for x_BTWC in read]).reshape(side, side, -1)


def source_gradient(source: Normalised, grad_u_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int) -> Normalised:
    """Return the gradient of the block's input."""
    of_u = Normalised.of(grad_u_BTWC)
    grad_x_BTWC = tap_sum(of_u, kernel_KKC[::-1, ::-1], dilation, slice(0, of_u.shape[1]))
    if source.shape[-1] == 1:
        grad_x_BTWC = jnp.sum(grad_x_BTWC, -1, keepdims=True)
    affine = AffineGradient(jnp.sum(grad_x_BTWC * source.z_BTWC, (1, 2)), jnp.sum(grad_x_BTWC, (1, 2)))
    grad_z_BTWC = grad_x_BTWC * source.factor_BC[:, None, None]
    return typed_as(source, Normalised(grad_z_BTWC, *affine))


def grad_of_product(
    grad_BTWC: jax.Array, z_BTWC: jax.Array | None, constant_C: jax.Array, slope_C: jax.Array
) -> jax.Array:
    """Return ∂p from ∂z and from what z's moments add to it, constant + slope · z; without z, what is given is ∂p."""
    if z_BTWC is None:
        return widened(grad_BTWC)
    return jnp.where(z_BTWC > 0, widened(grad_BTWC) + constant_C + slope_C * widened(z_BTWC), 0)


def activation(
    source: Normalised, kernel_KKC: jax.Array, bias_C: jax.Array, dilation: int, frames: slice | None = None
) -> jax.Array:
    """Return a, of all frames or some."""
    u_BTWC = tap_sum(source, kernel_KKC, dilation, frames or slice(0, source.shape[1])) + bias_C
    return jnp.maximum(u_BTWC, LEAKY_SLOPE * u_BTWC).astype(source.dtype)


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


def tap_sum(source: Normalised, kernel_KKC: jax.Array, dilation: int, frames: slice) -> jax.Array:
    """Convolve each channel of some frames with its own kernel, as a sum of shifted inputs."""
    side, _, channels = kernel_KKC.shape
    sum_BTWC = jnp.zeros((), kernel_KKC.dtype)
    for k, x_BTWC in enumerate(_shifted(source, side, dilation, frames)):
        sum_BTWC = sum_BTWC + x_BTWC * kernel_KKC[divmod(k, side)]
    return jnp.broadcast_to(sum_BTWC, (*sum_BTWC.shape[:3], channels))


def typed_as(pattern: Any, values: Any) -> Any:
    """Return the values, a tree like the pattern, in the types of its arrays."""
    return jax.tree.map(lambda like, value: value.astype(like.dtype), pattern, values)


def _shifted(source: Normalised, side: int, dilation: int, frames: slice) -> list[jax.Array]:
    """Return what each kernel element reads for some frames, zeros outside the input."""
    width, half = source.shape[2], side // 2
    x_BTWC = widened(source._replace(z_BTWC=widened(source.z_BTWC)).array())
    padded = jnp.pad(x_BTWC, ((0, 0), (half * dilation,) * 2, (half,) * 2, (0, 0)))
    places = [(i * dilation, j) for i in range(side) for j in range(side)]
    return [padded[:, frames.start + i : frames.stop + i, j : j + width] for i, j in places]


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return a matrix product of activations, summed up in the precision of the statistics."""
    return jnp.matmul(left, right, preferred_element_type=jnp.promote_types(left.dtype, jnp.float32))
