"""The first depthwise-separable block, which spreads one channel over all, written for speed.

It runs at the spectrum's full width, where an array of all channels would be several times as large as any other. None
is written: the work goes over a few frames at a time, and the gradient computes them again. There the gradient of the
kernel, which needs BatchNorm's sums over all frames, is put together from three products that do not.

Notation as in `madsep_jax.ops.dws.fast_parts`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import (
    EPSILON,
    LEAKY_SLOPE,
    BlockMoments,
    BlockParameters,
    dws_block,
    grad_of_pooled,
    max_pool_frequency,
)
from madsep_jax.ops.dws.chunks import Chunk, FrameChunks, chunk_moments, dynamic_slice, joined_moments
from madsep_jax.ops.dws.fast_parts import CHUNK_VALUES, folded_pointwise, mix, mix_transposed, pointwise_gradients
from madsep_jax.ops.dws.fast_pooled import moments_gradient, normalised_output
from madsep_jax.ops.dws.lazy import Normalised
from madsep_jax.ops.dws.margins import rooms

#: Frames at a time, at most: four take a sixth less time than one, and more gain nothing.
_ROWS = 4


def fast_first_block(
    parameters: BlockParameters, mag_BSF: jax.Array, kept_BC: jax.Array | None = None, *, pool: int = 1
) -> tuple[Normalised, BlockMoments]:
    """Apply the first block in training; equals `madsep_jax.ops.dws.block.dws_block` on mag_BSF[..., None]."""
    sign_C = jnp.where(parameters.outer_scale_C < 0, -1, 1).astype(mag_BSF.dtype)
    z_BTWC, moments = _first_block(parameters, mag_BSF, sign_C, pool)
    return normalised_output(parameters, z_BTWC, moments, kept_BC), moments


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _first_block(
    parameters: BlockParameters, mag_BSF: jax.Array, sign_C: jax.Array, pool: int
) -> tuple[jax.Array, BlockMoments]:
    """Return z, pooled, and the moments. Those of the inner BatchNorm are not differentiated."""
    return _run(parameters, mag_BSF, sign_C, pool)


class Windows(NamedTuple):
    """The magnitudes, cut into chunks with what the kernel reads around them."""

    mag_BSF: jax.Array
    """With margins."""
    chunks: FrameChunks
    side: int

    @classmethod
    def of(cls, mag_BSF: jax.Array, kernel_KKC: jax.Array) -> "Windows":
        """Cut (B, S, F) for a depthwise kernel."""
        side, _, channels = kernel_KKC.shape
        batch, frames, bins = mag_BSF.shape
        chunks = FrameChunks.of_size(batch, frames, bins * channels, CHUNK_VALUES, multiple=_ROWS)
        half, fill = side // 2, chunks.filled_frames - chunks.frames
        return cls(jnp.pad(mag_BSF, ((0, 0), (half, half + fill), (half, half))), chunks, side)

    def read_around(self, chunk: Chunk) -> jax.Array:
        """Return a chunk (R + k-1, F + k-1)."""
        shape = (1, self.chunks.rows + self.side - 1, self.mag_BSF.shape[2])
        return dynamic_slice(self.mag_BSF, (chunk.sequence, chunk.first, 0), shape)[0]

    def activate(self, parameters: BlockParameters, mag_RF: jax.Array, chunk: Chunk) -> jax.Array:
        """Return a of a chunk: here the depthwise convolution is an ordinary one."""
        u_1RFC = jax.lax.conv_general_dilated(
            mag_RF[None, :, :, None],
            parameters.depthwise_kernel_KKC[:, :, None],
            window_strides=(1, 1),
            padding="VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        u_RFC = u_1RFC[0] + parameters.depthwise_bias_C
        return self.chunks.without_fill(jnp.maximum(u_RFC, LEAKY_SLOPE * u_RFC), chunk)

    def patches(self, mag_RF: jax.Array) -> jax.Array:
        """Return what each kernel element reads, column by column, and 1 for the bias: (k·k + 1, R·F)."""
        rows, side, width = self.chunks.rows, self.side, mag_RF.shape[1] - (self.side - 1)
        mag_KRF = jnp.stack([mag_RF[i : i + rows] for i in range(side)])
        parts = [mag_KRF[:, :, j : j + width].reshape(side, -1) for j in range(side)]
        return jnp.concatenate([*parts, jnp.ones_like(parts[0][:1])])


def _run(
    parameters: BlockParameters, mag_BSF: jax.Array, sign_C: jax.Array, pool: int
) -> tuple[jax.Array, BlockMoments]:
    """Return z, pooled, and the moments."""
    windows = Windows.of(mag_BSF, parameters.depthwise_kernel_KKC)
    chunks, width = windows.chunks, mag_BSF.shape[2]
    count_K = chunks.counts_K(width)

    def first_pass(_: None, chunk: Chunk) -> tuple[None, tuple]:
        a_RFC = windows.activate(parameters, windows.read_around(chunk), chunk)
        return None, chunk_moments(a_RFC, chunks, chunk, count_K)

    _, moments_K = chunks.scan(first_pass, None)
    inner = joined_moments(moments_K, count_K)
    kernel_CC, bias_C = folded_pointwise(parameters, *inner)

    def second_pass(z_BTWC: jax.Array, chunk: Chunk) -> tuple[jax.Array, tuple]:
        a_RFC = windows.activate(parameters, windows.read_around(chunk), chunk)
        z_RFC = chunks.without_fill(mix(a_RFC, kernel_CC, bias_C), chunk)
        pooled_RWC = max_pool_frequency(z_RFC * sign_C, pool) * sign_C
        return chunks.write(z_BTWC, pooled_RWC, chunk), chunk_moments(z_RFC, chunks, chunk, count_K)

    shape = (chunks.batch, chunks.filled_frames, width // pool, len(sign_C))
    z_BTWC, moments_K = chunks.scan(second_pass, *rooms(bias_C, shape))
    return z_BTWC[:, : chunks.frames], BlockMoments(*inner, *joined_moments(moments_K, count_K))


def _forward(parameters: Any, mag_BSF: Any, sign_C: Any, pool: int) -> tuple[tuple[jax.Array, BlockMoments], tuple]:
    """Take arguments as `jax.custom_vjp` gives them with symbolic zeros: is the input's gradient wanted?"""
    wanted = () if mag_BSF.perturbed else None
    parameters, mag_BSF, sign_C = jax.tree.map(
        lambda primal: primal.value, (parameters, mag_BSF, sign_C), is_leaf=lambda leaf: hasattr(leaf, "perturbed")
    )
    z_BTWC, moments = _run(parameters, mag_BSF, sign_C, pool)
    return (z_BTWC, moments), (parameters, mag_BSF, moments, sign_C, wanted)


def _backward(pool: int, residuals: tuple, cotangents: tuple) -> tuple[BlockParameters, jax.Array | None, None]:
    parameters, mag_BSF, moments, sign_C, wanted = residuals
    grad_BTWC, grad_moments = jax.tree.map(_instantiated, cotangents, is_leaf=_is_symbolic)
    windows = Windows.of(mag_BSF, parameters.depthwise_kernel_KKC)
    chunks, channels, count = windows.chunks, len(sign_C), mag_BSF.size
    kernel_CC, bias_C = folded_pointwise(parameters, moments.inner_mean_C, moments.inner_var_C)
    constant_C, slope_C = moments_gradient(moments, grad_moments, count)
    filled_grad_BTWC = chunks.filled(grad_BTWC)

    def products(carry: tuple, chunk: Chunk) -> tuple[tuple, None]:
        product_CC, sum_C, kernel_products = carry
        mag_RF = windows.read_around(chunk)
        a_RFC = windows.activate(parameters, mag_RF, chunk)
        z_RFC = mix(a_RFC, kernel_CC, bias_C)
        grad_z_RFC = grad_of_pooled(chunks.read(filled_grad_BTWC, chunk), z_RFC * sign_C, pool)
        grad_p_RFC = jnp.where(z_RFC > 0, grad_z_RFC + constant_C + slope_C * z_RFC, 0)
        grad_p_RFC = chunks.without_fill(grad_p_RFC, chunk)
        product_CC = product_CC + a_RFC.reshape(-1, channels).T @ grad_p_RFC.reshape(-1, channels)
        rate_RFC = chunks.without_fill(jnp.where(a_RFC >= 0, 1, LEAKY_SLOPE).astype(a_RFC.dtype), chunk)
        patches_PN = windows.patches(mag_RF)
        terms = (rate_RFC * mix_transposed(grad_p_RFC, kernel_CC), rate_RFC, rate_RFC * a_RFC)
        kernel_products = tuple(
            total_PC + patches_PN @ term.reshape(-1, channels)
            for total_PC, term in zip(kernel_products, terms, strict=True)
        )
        return (product_CC, sum_C + jnp.sum(grad_p_RFC, (0, 1)), kernel_products), None

    side, dtype = windows.side, mag_BSF.dtype
    start = (
        jnp.zeros((channels, channels), dtype),
        jnp.zeros(channels, dtype),
        (jnp.zeros((side**2 + 1, channels), dtype),) * 3,
    )
    (product_CC, sum_C, (of_grad_PC, of_one_PC, of_a_PC)), _ = chunks.scan(products, start)
    pointwise = pointwise_gradients(parameters, moments, product_CC, sum_C, count)
    # ∂u = rate · (∂p · kernelᵀ - constant - slope · a)
    grad_PC = of_grad_PC - pointwise.constant_C * of_one_PC - pointwise.slope_C * of_a_PC
    nothing_C = jnp.zeros_like(sum_C)
    grad_KKC = grad_PC[:-1].reshape(side, side, channels).swapaxes(0, 1)
    gradients = BlockParameters(grad_KKC, grad_PC[-1], *pointwise.gradients, nothing_C, nothing_C)
    if wanted is None:
        return gradients, None, None
    return gradients, _input_gradient(parameters, mag_BSF, sign_C, pool, grad_BTWC, grad_moments), None


def _input_gradient(
    parameters: BlockParameters,
    mag_BSF: jax.Array,
    sign_C: jax.Array,
    pool: int,
    grad_BTWC: jax.Array,
    grad_moments: BlockMoments,
) -> jax.Array:
    """Differentiate by the magnitudes, which no training does: by the plain form."""
    unit_C = jnp.ones_like(sign_C)

    def plain(mag_BSF: jax.Array) -> tuple[jax.Array, BlockMoments]:
        raw = parameters._replace(outer_scale_C=sign_C, outer_bias_C=0 * unit_C)
        y_BTWC, moments = dws_block(raw, mag_BSF[..., None], pool=pool)
        deviation_C = jnp.sqrt(moments.outer_var_C + EPSILON)
        return (y_BTWC * deviation_C * sign_C + moments.outer_mean_C), moments

    return jax.vjp(plain, mag_BSF)[1]((grad_BTWC, grad_moments))[0]


def _is_symbolic(leaf: Any) -> bool:
    return isinstance(leaf, jax.custom_derivatives.SymbolicZero)


def _instantiated(cotangent: Any) -> jax.Array:
    return jnp.zeros(cotangent.shape, cotangent.dtype) if _is_symbolic(cotangent) else cotangent


_first_block.defvjp(_forward, _backward, symbolic_zeros=True)
