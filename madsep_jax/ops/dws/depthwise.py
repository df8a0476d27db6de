"""Depthwise convolution with zero padding that keeps the size, in two equal forms."""

import functools

import jax
import jax.numpy as jnp

from madsep_jax.ops.precision import widened

#: Rows whose products are added up in registers before they go to memory; a sharp optimum on CPUs.
_ROWS_AT_ONCE = 20


def depthwise_convolution(
    x_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int = 1, target: str = "cpu"
) -> jax.Array:
    """Convolve each channel with its own odd-sided square kernel; an input of one channel goes to all channels.

    On a CPU, XLA's grouped convolution is several times slower than a sum of shifted products, so that one runs there;
    elsewhere the grouped convolution does. An input of one channel is an ordinary convolution everywhere. There are
    `dilation` frames between the kernel's taps in time; those in frequency are neighbours.
    """
    if x_BTWC.shape[-1] == 1 or target != "cpu":
        return grouped_convolution(x_BTWC, kernel_KKC, dilation)
    return shifted_sum(x_BTWC, kernel_KKC, dilation)


def grouped_convolution(x_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int = 1) -> jax.Array:
    """XLA's convolution with as many feature groups as the input has channels."""
    return jax.lax.conv_general_dilated(
        x_BTWC,
        kernel_KKC[:, :, None, :],
        window_strides=(1, 1),
        padding="SAME",
        rhs_dilation=(dilation, 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x_BTWC.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted_sum(x_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int = 1) -> jax.Array:
    """Sum the shifted inputs, each times its kernel element; XLA fuses them into one pass over the output.

    The input's gradient is the same sum with the kernel turned around. The kernel's gradient, left to automatic
    differentiation, would be as many reductions over the whole array as the kernel has elements.
    """
    side = kernel_KKC.shape[0]
    _, frames, width, _ = x_BTWC.shape
    padded = _pad(x_BTWC, side, dilation)
    total = jnp.zeros((), x_BTWC.dtype)
    for i in range(side):
        for j in range(side):
            total = total + padded[:, i * dilation : i * dilation + frames, j : j + width] * kernel_KKC[i, j]
    return total


def _forward(x_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return shifted_sum(x_BTWC, kernel_KKC, dilation), (x_BTWC, kernel_KKC)


def _backward(
    dilation: int, residuals: tuple[jax.Array, jax.Array], grad_BTWC: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x_BTWC, kernel_KKC = residuals
    grad_kernel_KKC = kernel_gradient(widened(x_BTWC), widened(grad_BTWC), kernel_KKC.shape[0], dilation)
    grad_x_BTWC = shifted_sum(grad_BTWC, kernel_KKC[::-1, ::-1], dilation)
    return grad_x_BTWC, grad_kernel_KKC.astype(kernel_KKC.dtype)


shifted_sum.defvjp(_forward, _backward)


def kernel_gradient(x_BTWC: jax.Array, grad_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """Return the sum over batch, time and frequency of shifted input times gradient; (side, side, C).

    It goes over groups of rows, elementwise over (W, side, C), side being the kernel's rows: all of them together, and
    innermost but for the channels, so that what they read of a group lies in the first-level cache. The sum over W
    comes last.
    """
    batch, frames, width, channels = grad_BTWC.shape
    groups = -(-frames // _ROWS_AT_ONCE)
    rows = -(-frames // groups)
    silence = ((0, 0), (0, groups * rows - frames), (0, 0), (0, 0))  # rows that add nothing
    padded = jnp.pad(_pad(x_BTWC, side, dilation), silence)
    grad = jnp.pad(grad_BTWC, silence)
    starts = jnp.stack([jnp.repeat(jnp.arange(batch), groups), jnp.tile(jnp.arange(groups) * rows, batch)], axis=1)
    reach = 1 + (side - 1) * dilation

    def add_group(sums_WKC: tuple[jax.Array, ...], start: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        x = jax.lax.dynamic_slice(padded, (*start, 0, 0), (1, rows + reach - 1, *padded.shape[2:]))[0]
        g = jax.lax.dynamic_slice(grad, (*start, 0, 0), (1, rows, width, channels))[0]

        def of_column(j: int) -> jax.Array:
            products = (x[row : row + reach : dilation, j : j + width] * g[row] for row in range(rows))
            return functools.reduce(jnp.add, products).transpose(1, 0, 2)

        return tuple(sum_WKC + of_column(j) for j, sum_WKC in enumerate(sums_WKC)), None

    sums_WKC, _ = jax.lax.scan(add_group, (jnp.zeros((width, side, channels), grad.dtype),) * side, starts)
    return jnp.stack([sum_WKC.sum(axis=0) for sum_WKC in sums_WKC], axis=1)


def _pad(x_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    half = side // 2
    return jnp.pad(x_BTWC, ((0, 0), (half * dilation, half * dilation), (half, half), (0, 0)))
