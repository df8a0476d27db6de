"""The depthwise-separable block as it is defined (eq. 12 to 15 of the DWS paper), differentiated automatically.

Depthwise convolution → LeakyReLU → BatchNorm → pointwise → ReLU → BatchNorm → max-pool → channel dropout.

Arrays are (batch, time, frequency, channels). Equal blocks are compiled once and run in a loop, or each by itself.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.depthwise import depthwise_convolution
from madsep_jax.ops.precision import widened
from madsep_jax.ops.shared_batch import whole_moments

LEAKY_SLOPE = 1e-2
EPSILON = 1e-5
"""Added to the variance by BatchNorm."""


class BlockParameters(NamedTuple):
    """Parameters of one block; of several equal ones, stacked along a leading axis, where a function says so."""

    depthwise_kernel_KKC: jax.Array
    depthwise_bias_C: jax.Array
    inner_scale_C: jax.Array
    """Scale and bias of the BatchNorm before the pointwise convolution."""
    inner_bias_C: jax.Array
    pointwise_kernel_CC: jax.Array
    """(in, out), or (side, side, in, out)."""
    pointwise_bias_C: jax.Array
    outer_scale_C: jax.Array
    """Scale and bias of the BatchNorm after it."""
    outer_bias_C: jax.Array


class BlockMoments(NamedTuple):
    """Mean and biased variance of each channel at the input of both BatchNorms."""

    inner_mean_C: jax.Array
    inner_var_C: jax.Array
    outer_mean_C: jax.Array
    outer_var_C: jax.Array


def dws_block(
    parameters: BlockParameters,
    x_BTWC: jax.Array,
    moments: BlockMoments | None = None,
    kept_BC: jax.Array | None = None,
    *,
    pool: int = 1,
    dilation: int = 1,
    target: str = "cpu",
) -> tuple[jax.Array, BlockMoments]:
    """Apply one block; return y (B, T, W // pool, C), and the moments that it was normalised by.

    Args:
        x_BTWC: (B, T, W, C), or (B, T, W, 1), which is spread over all channels.
        moments: what to normalise by; None for those of this batch, as in training.
        kept_BC: what dropout multiplies each channel of each sequence by; None for no dropout.
        pool: neighbouring frequencies of which the largest is kept.
        dilation: frames between the taps of the depthwise kernel.
        target: kind of device, by which the form of the depthwise convolution is chosen.
    """
    h_BTWC = depthwise_convolution(x_BTWC, parameters.depthwise_kernel_KKC, dilation, target)
    h_BTWC = h_BTWC + parameters.depthwise_bias_C
    h_BTWC = jax.nn.leaky_relu(h_BTWC, LEAKY_SLOPE)
    inner = moments_of(h_BTWC) if moments is None else moments[:2]
    h_BTWC = normalise(h_BTWC, *inner, parameters.inner_scale_C, parameters.inner_bias_C)
    h_BTWC = jax.nn.relu(pointwise(h_BTWC, parameters.pointwise_kernel_CC) + parameters.pointwise_bias_C)
    outer = moments_of(h_BTWC) if moments is None else moments[2:]
    h_BTWC = normalise(h_BTWC, *outer, parameters.outer_scale_C, parameters.outer_bias_C)
    y_BTWC = max_pool_frequency(h_BTWC, pool)
    if kept_BC is not None:
        y_BTWC = y_BTWC * kept_BC[:, None, None, :]
    return y_BTWC, BlockMoments(*inner, *outer)


def dws_blocks(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array,
    moments_L: BlockMoments | None = None,
    kept_LBC: jax.Array | None = None,
    *,
    dilations: tuple[int, ...] = (1,),
    residual: bool = False,
    unrolled: bool = False,
    target: str = "cpu",
    wrap: Callable[[Any], Any] = lambda block: block,
) -> tuple[jax.Array, BlockMoments]:
    """Apply L equal blocks one after the other; return the last one's output, and the moments of all.

    The other arguments are those of `dws_block`, stacked along a leading axis.

    Args:
        x_BTWC: input of the first one, with as many channels as the blocks have.
        dilations: of the blocks, taken in turn.
        residual: add a block's input to its output.
        unrolled: compile each block by itself, in place of a loop. Blocks of different dilations always are.
        target: see `dws_block`.
        wrap: from the function of one block, whose third argument is the dilation, to what runs in its place.
    """

    def apply(x_BTWC: jax.Array, block: tuple, dilation: int) -> tuple[jax.Array, BlockMoments]:
        parameters, moments, kept_BC = block
        y_BTWC, moments = dws_block(parameters, x_BTWC, moments, kept_BC, dilation=dilation, target=target)
        return x_BTWC + y_BTWC if residual else y_BTWC, moments

    return over_blocks(wrap(apply), x_BTWC, (parameters_L, moments_L, kept_LBC), dilations, unrolled)


def pointwise(x_BTWC: jax.Array, kernel: jax.Array) -> jax.Array:
    """Mix the channels of each position (kernel CC), or of its neighbourhood (KKCC, zero padding keeps the size)."""
    if kernel.ndim == 2:
        return x_BTWC @ kernel
    return jax.lax.conv_general_dilated(
        x_BTWC, kernel, window_strides=(1, 1), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def moments_of(x_BTWC: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance of each channel, over the whole batch where devices share it."""
    x_BTWC = widened(x_BTWC)
    mean_C = jnp.mean(x_BTWC, (0, 1, 2))
    return whole_moments(mean_C, jnp.mean(jnp.square(x_BTWC - mean_C), (0, 1, 2)))


def normalise(
    x_BTWC: jax.Array, mean_C: jax.Array, var_C: jax.Array, scale_C: jax.Array, bias_C: jax.Array
) -> jax.Array:
    """Normalise each channel, then scale and shift it; in the statistics' precision, returned in that of x."""
    factor_C, offset_C = as_affine(mean_C, var_C, scale_C, bias_C)
    return (x_BTWC * factor_C + offset_C).astype(x_BTWC.dtype)


def as_affine(
    mean_C: jax.Array, var_C: jax.Array, scale_C: jax.Array, bias_C: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return a BatchNorm as a factor and an offset for each channel."""
    factor_C = scale_C * jax.lax.rsqrt(var_C + EPSILON)
    return factor_C, bias_C - mean_C * factor_C


def over_blocks(
    apply: Callable[[jax.Array, Any, int], tuple[jax.Array, Any]],
    x: jax.Array,
    blocks_L: Any,
    dilations: tuple[int, ...],
    unrolled: bool,
) -> tuple[jax.Array, Any]:
    """Apply L blocks in turn; return what the last one makes of x, and what is to be returned of each.

    Args:
        apply: (x, block, dilation) to both of these.
        x: what the first one takes.
        blocks_L: a tree of arrays with a leading axis of L ≥ 1 blocks.
        dilations: of the blocks, taken in turn. They are part of the program: where they differ, there is no loop.
        unrolled: compile each block by itself in any case.
    """
    if len(set(dilations)) == 1 and not unrolled:
        return jax.lax.scan(lambda x, block: apply(x, block, dilations[0]), x, blocks_L)
    found = []
    for layer in range(len(jax.tree.leaves(blocks_L)[0])):
        block = jax.tree.map(lambda array_L, layer=layer: array_L[layer], blocks_L)
        x, value = apply(x, block, dilations[layer % len(dilations)])
        found.append(value)
    return x, jax.tree.map(lambda *values: jnp.stack(values), *found)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool_frequency(x: jax.Array, pool: int) -> jax.Array:
    """Keep the largest of every `pool` neighbouring frequencies; those left over at the top are dropped.

    As a maximum of slices it is several times faster on a CPU than as a reduction. Equal largest values share the
    gradient. The input is (…, W, C).
    """
    if pool == 1:
        return x
    groups = _groups(x, pool)
    return functools.reduce(jnp.maximum, (groups[..., i, :] for i in range(pool)))


def _forward(x: jax.Array, pool: int) -> tuple[jax.Array, jax.Array]:
    return max_pool_frequency(x, pool), x


def _backward(pool: int, x: jax.Array, grad: jax.Array) -> tuple[jax.Array]:
    return (grad_of_pooled(grad, x, pool),)


max_pool_frequency.defvjp(_forward, _backward)


def grad_of_pooled(grad: jax.Array, x: jax.Array, pool: int) -> jax.Array:
    """Return the gradient of x (…, W, C) from that of what it was pooled to. Equal largest values share it.

    The largest are sought anew: one that was kept may differ in its last bit from what the compiler computes here, and
    then no value would equal it and the gradient be lost.
    """
    if pool == 1:
        return grad
    largest = _groups(x, pool) == max_pool_frequency(x, pool)[..., None, :]
    count = functools.reduce(jnp.add, (largest[..., i, :].astype(grad.dtype) for i in range(pool)))
    spread = jnp.where(largest, (grad / count)[..., None, :], 0).reshape(*x.shape[:-2], -1, x.shape[-1])
    left_over = x.shape[-2] - spread.shape[-2]
    return jnp.pad(spread, ((0, 0),) * (x.ndim - 2) + ((0, left_over), (0, 0)))


def _groups(x: jax.Array, pool: int) -> jax.Array:
    """Cut (…, W, C) into (…, W // pool, pool, C)."""
    width = x.shape[-2] // pool
    return x[..., : width * pool, :].reshape(*x.shape[:-2], width, pool, x.shape[-1])
