"""The parts of the lean block as Pallas kernels for NVIDIA's GPUs: each array read once, and sums taken on the way.

XLA would write the normalised input, take BatchNorm's sums in passes of their own, and make of the depthwise kernel's
gradient a kernel for every two of its elements. Each function here equals the one of its name in
`madsep_jax.ops.dws.lean_parts`, which says what it computes.

A program (a block of threads) has a tile of an array: some rows or frequencies, R or W, times some channels, C.
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

#: Positions, and channels, of a tile of a matrix product; frequencies of one of a depthwise convolution.
_ROWS, _CHANNELS, _BINS = 64, 64, 8

_CALL: dict[str, Any] = {"compiler_params": triton.CompilerParams(num_warps=4, num_stages=2)}


def activated(
    parameters: BlockParameters, source: Normalised, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    kernel_KKC, bias_C = parameters.depthwise_kernel_KKC, parameters.depthwise_bias_C
    batch, frames, width, _ = source.shape

    def finish(bias_C: Any, tile: "_FrameTile") -> Callable:
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
    z_BTWC, factor_BC, offset_BC = source[:3]

    def finish(z_BTWC: Any, factor_BC: Any, tile: "_FrameTile") -> Callable:
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
        return _load(ref, *place, mask=mask).astype(self._dtype)

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
    shape = _BINS, min(_CHANNELS, pl.next_power_of_2(channels))
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
    call = pl.pallas_call(program, out_shape=(out, frame_sums, frame_sums), grid=grid, **_CALL)
    factor_BC, offset_BC = (affine_BC.astype(dtype) for affine_BC in source[1:3])
    return call(source.z_BTWC, factor_BC, offset_BC, kernel_KKC.reshape(side**2, channels), *others)


def kernel_gradient(source: Normalised, grad_u_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    batch, frames, width, channels = grad_u_BTWC.shape
    shape = _BINS, min(_CHANNELS, pl.next_power_of_2(channels))
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
    call = pl.pallas_call(program, out_shape=out, grid=(batch, frames, pl.cdiv(channels, shape[1])), **_CALL)
    affine = (affine_BC.astype(dtype) for affine_BC in source[1:3])
    return jnp.sum(call(source.z_BTWC, *affine, grad_u_BTWC), 0).reshape(side, side, channels)


def mixed(
    a_BTWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array, sign_C: jax.Array, *, pool: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    groups, dtype = _Groups(a_BTWC.shape, pool), bias_C.dtype
    a_NC, channels = a_BTWC.reshape(-1, a_BTWC.shape[-1]), a_BTWC.shape[-1]

    def program(a_NC: Any, kernel_CC: Any, bias_C: Any, sign_C: Any, z_QC: Any, mean_KC: Any, squares_KC: Any) -> None:
        out_C = groups.channel_C()
        z_ERC = groups.mixed(a_NC, kernel_CC, bias_C, out_C)
        sign_C = _load(sign_C, out_C, mask=out_C < channels)
        largest_RC = functools.reduce(jnp.maximum, (z_RC * sign_C for z_RC in z_ERC)) * sign_C
        pooled_Q1, is_whole_Q1 = groups.pooled_R1()
        mask_RC = is_whole_Q1 & (out_C < channels)[None]
        triton.store(z_QC.at[pooled_Q1, out_C[None]], largest_RC.astype(z_QC.dtype), mask=mask_RC)
        counted_ER1 = [groups.row_R1(e)[1] for e in range(pool)]
        count = sum(jnp.sum(counted_R1.astype(dtype)) for counted_R1 in counted_ER1)
        terms = list(zip(counted_ER1, z_ERC, strict=True))
        mean_C = sum(jnp.sum(jnp.where(counted, z_RC, 0), 0) for counted, z_RC in terms) / count
        squares_C = sum(jnp.sum(jnp.where(counted, jnp.square(z_RC - mean_C), 0), 0) for counted, z_RC in terms)
        for ref, total_C in ((mean_KC, mean_C), (squares_KC, squares_C)):
            triton.store(ref.at[pl.program_id(0), out_C], total_C, mask=out_C < channels)

    batch, frames, width, _ = a_BTWC.shape
    sums = jax.ShapeDtypeStruct((groups.grid[0], channels), dtype)
    out = jax.ShapeDtypeStruct((batch * frames * (width // pool), channels), a_BTWC.dtype)
    call = pl.pallas_call(program, out_shape=(out, sums, sums), grid=groups.grid, **_CALL)
    z_QC, *moments_KC = call(a_NC, kernel_CC.astype(a_NC.dtype), bias_C, sign_C.astype(dtype))
    return z_QC.reshape(batch, frames, width // pool, channels), joined_moments(tuple(moments_KC), groups.counts_K())


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
    groups, dtype = _Groups(a_BTWC.shape, pool), bias_C.dtype
    channels = a_BTWC.shape[-1]
    a_NC, grad_QC = a_BTWC.reshape(-1, channels), grad_BTWC.reshape(-1, channels)

    def program(a_NC: Any, kernel_CC: Any, bias_C: Any, sign_C: Any, grad_QC: Any, *refs: Any) -> None:
        constant_C, slope_C, grad_p_NC = refs
        out_C = groups.channel_C()
        z_ERC = groups.mixed(a_NC, kernel_CC, bias_C, out_C)
        sign_C, *affine = (_load(ref, out_C, mask=out_C < channels) for ref in (sign_C, constant_C, slope_C))
        largest_RC = functools.reduce(jnp.maximum, (z_RC * sign_C for z_RC in z_ERC))
        is_largest_ERC = [z_RC * sign_C == largest_RC for z_RC in z_ERC]
        count_RC = functools.reduce(jnp.add, (each.astype(dtype) for each in is_largest_ERC))
        pooled_Q1, is_whole_Q1 = groups.pooled_R1()
        mask_RC = is_whole_Q1 & (out_C < channels)[None]
        place = jnp.clip(pooled_Q1, 0, grad_QC.shape[0] - 1), jnp.clip(out_C, 0, channels - 1)[None]
        share_RC = triton.load(grad_QC.at[place], mask=mask_RC, other=0).astype(dtype) / count_RC
        for e, z_RC in enumerate(z_ERC):
            row_R1, counted_R1 = groups.row_R1(e)
            grad_z_RC = jnp.where(is_largest_ERC[e], share_RC, 0) + affine[0] + affine[1] * z_RC
            grad_p_RC = jnp.where(z_RC > 0, grad_z_RC, 0).astype(grad_p_NC.dtype)
            mask_RC = counted_R1 & (out_C < channels)[None]
            triton.store(grad_p_NC.at[row_R1, out_C[None]], grad_p_RC, mask=mask_RC)

    out = jax.ShapeDtypeStruct(a_NC.shape, a_NC.dtype)
    call = pl.pallas_call(program, out_shape=out, grid=groups.grid, **_CALL)
    given = a_NC, kernel_CC.astype(a_NC.dtype), bias_C, sign_C.astype(dtype), grad_QC
    return call(*given, *of_z).reshape(a_BTWC.shape)


class _Groups:
    """Programs that go over groups of neighbouring frequencies, of which the largest is kept.

    The last group of a frame may not be whole: nothing is kept of it.
    """

    def __init__(self, shape: tuple[int, ...], pool: int) -> None:
        """Take the shape of what is pooled."""
        batch, frames, self._width, self._channels = shape
        self._pool, self._rows = pool, _ROWS if pool == 1 else _ROWS // 2
        self._per_frame = pl.cdiv(self._width, pool)
        self._count, self._at_once = batch * frames * self._per_frame, _at_once(self._channels)
        self.grid = pl.cdiv(self._count, self._rows), pl.cdiv(self._channels, self._at_once)

    def counts_K(self) -> jax.Array:
        """Return how many positions each program has."""
        group_KR = jnp.arange(self.grid[0] * self._rows).reshape(-1, self._rows)
        left_KR = self._width - self._pool * (group_KR % self._per_frame)
        return jnp.sum(jnp.where(group_KR < self._count, jnp.minimum(self._pool, left_KR), 0), 1)

    def channel_C(self) -> jax.Array:
        """Return the program's channels."""
        return pl.program_id(1) * self._at_once + jnp.arange(self._at_once)

    def row_R1(self, e: int) -> tuple[jax.Array, jax.Array]:
        """Return the position of one element of each group, and whether it is there."""
        group_R1, frame_R1, bin_R1 = self._place_R1()
        bin_R1 = bin_R1 * self._pool + e
        return frame_R1 * self._width + bin_R1, (group_R1 < self._count) & (bin_R1 < self._width)

    def pooled_R1(self) -> tuple[jax.Array, jax.Array]:
        """Return the position of what is kept of each group, and whether it is whole."""
        group_R1, frame_R1, bin_R1 = self._place_R1()
        per_frame = self._width // self._pool
        return frame_R1 * per_frame + bin_R1, (group_R1 < self._count) & (bin_R1 < per_frame)

    def mixed(self, a_NC: Any, kernel_CC: Any, bias_C: Any, out_C: jax.Array) -> list[jax.Array]:
        """Return z of each element of the groups, rounded as it would be where it is kept."""
        bias_C, dtype = _load(bias_C, out_C, mask=out_C < self._channels), bias_C.dtype

        def element(e: int) -> jax.Array:
            row_R1, _ = self.row_R1(e)
            sizes = self._rows, self._channels, self._at_once
            p_RC = _tile_product(lambda k: _matrix(a_NC, row_R1, k[None]), kernel_CC, out_C, sizes, dtype)
            return jnp.maximum(p_RC + bias_C, 0).astype(a_NC.dtype).astype(dtype)

        return [element(e) for e in range(self._pool)]

    def _place_R1(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        group_R1 = (pl.program_id(0) * self._rows + jnp.arange(self._rows))[:, None]
        frame_R1 = jax.lax.div(group_R1, jnp.full_like(group_R1, self._per_frame))
        return group_R1, frame_R1, group_R1 - frame_R1 * self._per_frame


def products(
    a_BTWC: jax.Array, grad_BTWC: jax.Array, z_BTWC: jax.Array | None, constant_C: jax.Array, slope_C: jax.Array
) -> tuple[jax.Array, jax.Array]:
    arrays = [x.reshape(-1, x.shape[-1]) for x in (a_BTWC, grad_BTWC, z_BTWC) if x is not None]
    (count, channels), dtype = arrays[0].shape, constant_C.dtype
    at_once, rows = _at_once(channels), _ROWS // 2
    parts = min(pl.cdiv(count, rows), max(16, min(256, 2**20 // channels**2)))
    per_part = pl.cdiv(pl.cdiv(count, rows), parts)

    def program(a_NC: Any, grad_NC: Any, *refs: Any) -> None:
        *z, constant_C, slope_C, product_PCC, sum_PIC = refs
        part, in_C = pl.program_id(0), pl.program_id(1) * at_once + jnp.arange(at_once)
        out_C = pl.program_id(2) * at_once + jnp.arange(at_once)
        affine = [_load(ref, out_C, mask=out_C < channels) for ref in (constant_C, slope_C)]

        def add(number: Any, carry: tuple) -> tuple:
            row_R1 = ((part * per_part + number) * rows + jnp.arange(rows))[:, None]
            grad_p_RC = _grad_p(grad_NC, z, row_R1, out_C[None], affine)
            a_RC = _matrix(a_NC, row_R1, in_C[None])
            product_CC = jnp.dot(a_RC.T, grad_p_RC.astype(a_RC.dtype), preferred_element_type=dtype)
            return carry[0] + product_CC, carry[1] + jnp.sum(grad_p_RC, 0)

        start = jnp.zeros((at_once, at_once), dtype), jnp.zeros(at_once, dtype)
        product_CC, sum_C = jax.lax.fori_loop(0, per_part, add, start)
        mask_CC = (in_C < channels)[:, None] & (out_C < channels)[None]
        triton.store(product_PCC.at[part, in_C[:, None], out_C[None]], product_CC, mask=mask_CC)
        triton.store(sum_PIC.at[part, pl.program_id(1), out_C], sum_C, mask=out_C < channels)

    tiles = pl.cdiv(channels, at_once)
    shapes = (parts, channels, channels), (parts, tiles, channels)
    out_shape = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
    call = pl.pallas_call(program, out_shape=out_shape, grid=(parts, tiles, tiles), **_CALL)
    product_PCC, sum_PIC = call(*arrays, constant_C, slope_C)
    return jnp.sum(product_PCC, 0), jnp.sum(sum_PIC[:, 0], 0)


def activation_gradient(
    a_BTWC: jax.Array,
    grad_BTWC: jax.Array,
    z_BTWC: jax.Array | None,
    constants: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    kernel_CC: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    arrays = [x.reshape(-1, x.shape[-1]) for x in (a_BTWC, grad_BTWC, z_BTWC) if x is not None]
    (count, channels), dtype = arrays[0].shape, constants[0].dtype
    programs, at_once = pl.cdiv(count, _ROWS), _at_once(channels)

    def program(a_NC: Any, grad_NC: Any, *refs: Any) -> None:
        *z, constant_C, slope_C, below_C, below_slope_C, kernel_CC, grad_u_NC, sum_KC = refs
        row_R1, in_C, mask_RC = _tile_of(count, channels, at_once)

        def grad_p_RK(k: jax.Array) -> jax.Array:
            affine = [_load(ref, k, mask=k < channels) for ref in (constant_C, slope_C)]
            return _grad_p(grad_NC, z, row_R1, k[None], affine).astype(a_NC.dtype)

        grad_a_RC = _tile_product(grad_p_RK, kernel_CC, in_C, (_ROWS, channels, at_once), dtype)
        a_RC = _matrix(a_NC, row_R1, in_C[None]).astype(dtype)
        below_C, below_slope_C = (_load(ref, in_C, mask=in_C < channels) for ref in (below_C, below_slope_C))
        grad_a_RC = grad_a_RC - below_C - below_slope_C * a_RC
        grad_u_RC = jnp.where(mask_RC, jnp.where(a_RC >= 0, grad_a_RC, LEAKY_SLOPE * grad_a_RC), 0)
        triton.store(grad_u_NC.at[row_R1, in_C[None]], grad_u_RC.astype(grad_u_NC.dtype), mask=mask_RC)
        triton.store(sum_KC.at[pl.program_id(0), in_C], jnp.sum(grad_u_RC, 0), mask=in_C < channels)

    sums = jax.ShapeDtypeStruct((programs, channels), dtype)
    out_shape = jax.ShapeDtypeStruct(arrays[0].shape, a_BTWC.dtype), sums
    call = pl.pallas_call(program, out_shape=out_shape, grid=(programs, pl.cdiv(channels, at_once)), **_CALL)
    grad_u_NC, sum_KC = call(*arrays, *constants, kernel_CC.T.astype(a_BTWC.dtype))
    return grad_u_NC.reshape(a_BTWC.shape), jnp.sum(sum_KC, 0)


def _at_once(channels: int) -> int:
    return max(16, min(_CHANNELS, pl.next_power_of_2(channels)))  # a product of the hardware has 16 at least


def _tile_of(count: int, channels: int, at_once: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    row_R1 = (pl.program_id(0) * _ROWS + jnp.arange(_ROWS))[:, None]
    out_C = pl.program_id(1) * at_once + jnp.arange(at_once)
    return row_R1, out_C, (row_R1 < count) & (out_C < channels)[None]


def _tile_product(left: Callable, right_CC: Any, out_C: Any, sizes: tuple[int, int, int], dtype: Any) -> jax.Array:
    rows, channels, at_once = sizes

    def add(number: Any, sum_RC: jax.Array) -> jax.Array:
        k = number * at_once + jnp.arange(at_once)
        right_KC = _matrix(right_CC, k[:, None], out_C[None])
        return sum_RC + jnp.dot(left(k), right_KC, preferred_element_type=dtype)

    return jax.lax.fori_loop(0, pl.cdiv(channels, at_once), add, jnp.zeros((rows, at_once), dtype))


def _grad_p(grad_NC: Any, z: list, row_R1: Any, out_1C: Any, affine: list[jax.Array]) -> jax.Array:
    grad_RC = _matrix(grad_NC, row_R1, out_1C).astype(affine[0].dtype)
    if not z:
        return grad_RC
    z_RC = _matrix(z[0], row_R1, out_1C).astype(affine[0].dtype)
    return jnp.where(z_RC > 0, grad_RC + affine[0] + affine[1] * z_RC, 0)


def _matrix(ref: Any, row_R1: Any, column_1C: Any) -> jax.Array:
    rows, columns = ref.shape
    return _load(ref, row_R1, column_1C, mask=(row_R1 < rows) & (column_1C < columns))


def _load(ref: Any, *place: Any, mask: Any) -> jax.Array:
    """Load what lies inside, and 0 elsewhere."""
    inside = tuple(jnp.clip(at, 0, size - 1) for at, size in zip(place, ref.shape, strict=True))
    return triton.load(ref.at[inside], mask=mask, other=0)
