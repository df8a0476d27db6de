"""Depthwise convolution with zero padding that keeps the size, in two equal forms."""

import jax
import jax.numpy as jnp


def depthwise_convolution(x_BTWC: jax.Array, kernel_KKC: jax.Array) -> jax.Array:
    """Convolve each channel with its own odd-sided square kernel; an input of one channel goes to all channels.

    On a CPU, XLA's grouped convolution is several times slower than a sum of shifted products, so that one runs there;
    elsewhere the grouped convolution does. An input of one channel is an ordinary convolution everywhere.
    """
    if x_BTWC.shape[-1] == 1 or jax.default_backend() != "cpu":
        return grouped_convolution(x_BTWC, kernel_KKC)
    return shifted_sum(x_BTWC, kernel_KKC)


def grouped_convolution(x_BTWC: jax.Array, kernel_KKC: jax.Array) -> jax.Array:
    """XLA's convolution with as many feature groups as the input has channels."""
    return jax.lax.conv_general_dilated(
        x_BTWC,
        kernel_KKC[:, :, None, :],
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x_BTWC.shape[-1],
    )


def shifted_sum(x_BTWC: jax.Array, kernel_KKC: jax.Array) -> jax.Array:
    """Sum the shifted inputs, each times its kernel element; XLA fuses them into one pass over the output."""
    side = kernel_KKC.shape[0]
    _, frames, width, _ = x_BTWC.shape
    half = side // 2
    padded = jnp.pad(x_BTWC, ((0, 0), (half, half), (half, half), (0, 0)))
    total = jnp.zeros((), x_BTWC.dtype)
    for i in range(side):
        for j in range(side):
            total = total + padded[:, i : i + frames, j : j + width] * kernel_KKC[i, j]
    return total
