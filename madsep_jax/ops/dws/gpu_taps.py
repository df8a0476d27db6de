"""The depthwise parts of the lean block as Pallas kernels for NVIDIA's GPUs, with what both kinds of kernels share.

Each array is read once, and sums are taken on the way.

XLA would write the normalised input, take BatchNorm's sums in passes of their own, and make of the depthwise kernel's
gradient a kernel for every two of its elements. Each function here equals the one of its name in
`madsep_jax.ops.dws.lean_parts`, which says what it computes.

A program (a block of threads) goes over a frame, a tile at a time: some frequencies, W, times some channels, C.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from madsep_jax.ops.dws.block import LEAKY_SLOPE, BlockParameters
from madsep_jax.ops.dws.chunks import joined_moments
from madsep_jax.ops.dws.lazy import AffineGradient, Normalised

#: Channels, at most, and frequencies of a tile: so many sums of each kernel element fit into a program's registers.
CHANNELS, _BINS = 64, 8

#: How kernels are called.
CALL: dict[str, Any] = {"compiler_params": triton.CompilerParams(num_warps=4, num_stages=2)}


def activated(
    parameters: BlockParameters, source: Normalised, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """See `lean_parts.activated`."""
    kernel_KKC, bias_C = parameters.depthwise_kernel_KKC, parameters.depthwise_bias_C
    batch, frames, width, _ = source.shape

    def finish(bias_C: Any, tile: "_FrameTile") -> tuple[Callable, Callable]:
        bias_C = tile.load(bias_C, tile.channel_C, mask=tile.has_channel_C)

        def activation(u_WC: jax.Array, _: jax.Array) -> jax.Array:
            return jnp.maximum(u_WC + bias_C, LEAKY_SLOPE * (u_WC + bias_C))

        near_C = jnp.sum(jnp.where(tile.has_bin(0), activation(tile.convolved(0), tile.bin_W1(0)), 0), 0)
        near_C = near_C / min(_BINS, width)

        def sums(a_WC: jax.Array, bin_W1: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            a_WC = activation(a_WC, bin_W1)
            from_near_WC = jnp.where(bin_W1 < width, a_WC - near_C, 0)
            return a_WC, from_near_WC, jnp.square(from_near_WC)

        def totals(sum_C: jax.Array, squares_C: jax.Array) -> tuple[jax.Array, jax.Array]:
            return near_C + sum_C / width, squares_C - jnp.square(sum_C) / width

        return sums, totals

    a_BTWC, *moments_KC = _over_frames(source, kernel_KKC, dilation, finish, bias_C)
    return a_BTWC, joined_moments(tuple(moments_KC), jnp.full(batch * frames, width))


def source_gradient(source: Normalised, grad_u_BTWC: jax.Array, kernel_KKC: jax.Array, dilation: int) -> Normalised:
    """See `lean_parts.source_gradient`."""
    z_BTWC, factor_BC, offset_BC = source[:3]

    def finish(z_BTWC: Any, factor_BC: Any, tile: "_FrameTile") -> tuple[Callable, Callable]:
        factor_C = tile.load(factor_BC, tile.sequence, tile.channel_C, mask=tile.has_channel_C)

        def sums(grad_x_WC: jax.Array, bin_W1: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            mask_WC = (bin_W1 < tile.width) & tile.has_channel_C
            z_WC = tile.load(z_BTWC, tile.sequence, tile.frame, bin_W1, tile.channel_C[None], mask=mask_WC)
            grad_x_WC = jnp.where(mask_WC, grad_x_WC, 0)
            return grad_x_WC * factor_C, grad_x_WC * z_WC, grad_x_WC

        return sums, lambda *sums_C: sums_C

    turned_KKC = kernel_KKC[::-1, ::-1]
    grad_z_BTWC, *sums_KC = _over_frames(Normalised.of(grad_u_BTWC), turned_KKC, dilation, finish, z_BTWC, factor_BC)
    affine = AffineGradient.joined(AffineGradient(*sums_KC), len(z_BTWC))
    return Normalised(
        grad_z_BTWC.astype(z_BTWC.dtype), *(affine[0].astype(factor_BC.dtype), affine[1].astype(offset_BC.dtype))
    )


class _FrameTile:
    """What a program that goes over a frame's frequencies reads."""

    def __init__(self, shape: tuple[int, ...], source: tuple, kernel_KC: Any, channels: int, dilation: int) -> None:
        """Find the frame; `shape` is that of the sums of a tile, and their type."""
        self.source_BTWC, self._dtype = source[0], source[1].dtype
        _, self.frames, self.width, source_channels = self.source_BTWC.shape
        self.sequence, self.frame = pl.program_id(0), pl.program_id(1)
        self.channel_C = pl.program_id(2) * shape[1] + jnp.arange(shape[1])
        self.has_channel_C = self.channel_C < channels
        self.side, self.dilation = round((0 if kernel_KC is None else kernel_KC.shape[0]) ** 0.5), dilation
        self.source_C = self.channel_C if source_channels > 1 else 0 * self.channel_C  # one channel goes to all
        self._affine = [self.load(ref, self.sequence, self.source_C, mask=self.has_channel_C) for ref in source[1:]]
        taps = range(self.side**2)
        self._kernel = [self.load(kernel_KC, k, self.channel_C, mask=self.has_channel_C) for k in taps]

    def bin_W1(self, number: Any) -> jax.Array:
        return (number * _BINS + jnp.arange(_BINS))[:, None]

    def has_bin(self, number: Any) -> jax.Array:
        return self.bin_W1(number) < self.width

    def load(self, ref: Any, *place: Any, mask: Any) -> jax.Array:
        return load(ref, *place, mask=mask).astype(self._dtype)

    def read(self, bin_W1: jax.Array, k: int, side: int) -> jax.Array:
        """Return what a kernel element reads, normalised, and 0 outside the input."""
        i, j = divmod(k, side)
        frame, bin_W1 = self.frame + (i - side // 2) * self.dilation, bin_W1 + (j - side // 2)
        is_inside = (frame >= 0) & (frame < self.frames) & (bin_W1 >= 0) & (bin_W1 < self.width)
        mask_WC = is_inside & self.has_channel_C
        x_WC = self.load(self.source_BTWC, self.sequence, frame, bin_W1, self.source_C[None], mask=mask_WC)
        return jnp.where(mask_WC, x_WC * self._affine[0] + self._affine[1], 0)

    def convolved(self, number: Any) -> jax.Array:
        terms = (self.read(self.bin_W1(number), k, self.side) * kernel_C for k, kernel_C in enumerate(self._kernel))
        return functools.reduce(jnp.add, terms)


def _over_frames(source: Normalised, kernel_KKC: jax.Array, dilation: int, finish: Callable, *others: jax.Array) -> Any:
    """Convolve, and hand each tile to what `finish` returns; return an array, and two sums of each frame, (K, C)."""
    batch, frames, width, _ = source.shape
    side, _, channels = kernel_KKC.shape
    shape = _BINS, min(CHANNELS, pl.next_power_of_2(channels))
    dtype = jnp.promote_types(source.factor_BC.dtype, jnp.float32)

    def program(z: Any, factor: Any, offset: Any, kernel: Any, *refs: Any) -> None:
        *others, out_BTWC, first_KC, second_KC = refs
        tile = _FrameTile(shape, (z, factor, offset), kernel, channels, dilation)
        sums, totals = finish(*others, tile)

        def add(number: Any, carry: tuple) -> tuple:
            bin_W1 = tile.bin_W1(number)
            out_WC, first_WC, second_WC = sums(tile.convolved(number), bin_W1)
            mask_WC = (bin_W1 < width) & tile.has_channel_C
            place = out_BTWC.at[tile.sequence, tile.frame, bin_W1, tile.channel_C[None]]
            triton.store(place, out_WC.astype(out_BTWC.dtype), mask=mask_WC)
            return carry[0] + first_WC, carry[1] + second_WC

        found = jax.lax.fori_loop(0, pl.cdiv(width, _BINS), add, (jnp.zeros(shape, dtype),) * 2)
        for ref, total_C in zip((first_KC, second_KC), totals(*(jnp.sum(each, 0) for each in found)), strict=True):
            place = ref.at[tile.sequence * frames + tile.frame, tile.channel_C]
            triton.store(place, total_C, mask=tile.has_channel_C)

    frame_sums = jax.ShapeDtypeStruct((batch * frames, channels), dtype)
    out = jax.ShapeDtypeStruct((batch, frames, width, channels), source.dtype)
    grid = batch, frames, pl.cdiv(channels, shape[1])
    call = pl.pallas_call(program, out_shape=(out, frame_sums, frame_sums), grid=grid, **CALL)
    factor_BC, offset_BC = (affine_BC.astype(dtype) for affine_BC in source[1:3])
    return call(source.z_BTWC, factor_BC, offset_BC, kernel_KKC.reshape(side**2, channels), *others)


def kernel_gradient(source: Normalised, grad_u_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """See `lean_parts.kernel_gradient`."""
    batch, frames, width, channels = grad_u_BTWC.shape
    shape = _BINS, min(CHANNELS, pl.next_power_of_2(channels))
    dtype = jnp.promote_types(source.factor_BC.dtype, jnp.float32)

    def program(z: Any, factor: Any, offset: Any, grad_u_BTWC: Any, sums_NKC: Any) -> None:
        tile = _FrameTile(shape, (z, factor, offset), None, channels, dilation)

        def add(number: Any, sums_K: tuple) -> tuple:
            bin_W1 = tile.bin_W1(number)
            mask_WC = (bin_W1 < width) & tile.has_channel_C
            place = tile.sequence, tile.frame, bin_W1, tile.channel_C[None]
            grad_WC = tile.load(grad_u_BTWC, *place, mask=mask_WC)
            return tuple(sum_WC + tile.read(bin_W1, k, side) * grad_WC for k, sum_WC in enumerate(sums_K))

        found = jax.lax.fori_loop(0, pl.cdiv(width, _BINS), add, (jnp.zeros(shape, dtype),) * side**2)
        for k, sum_WC in enumerate(found):
            place = sums_NKC.at[tile.sequence * frames + tile.frame, k, tile.channel_C]
            triton.store(place, jnp.sum(sum_WC, 0), mask=tile.has_channel_C)

    out = jax.ShapeDtypeStruct((batch * frames, side**2, channels), dtype)
    call = pl.pallas_call(program, out_shape=out, grid=(batch, frames, pl.cdiv(channels, shape[1])), **CALL)
    affine = (affine_BC.astype(dtype) for affine_BC in source[1:3])
    return jnp.sum(call(source.z_BTWC, *affine, grad_u_BTWC), 0).reshape(side, side, channels)


def load(ref: Any, *place: Any, mask: Any) -> jax.Array:
    """Load what lies inside, and 0 elsewhere."""
    inside = tuple(jnp.clip(at, 0, size - 1) for at, size in zip(place, ref.shape, strict=True))
    return triton.load(ref.at[inside], mask=mask, other=0)
