"""The matrix products of the lean block as Pallas kernels for NVIDIA's GPUs.

Each has within it what goes before and after the product: the sums of BatchNorm, the pooling, the gradients of the
activations. So one array is written, and each is read once, but for what the caches cannot hold: a program (a block of
threads) has a tile of some positions, R, times at most `CHANNELS` channels, and reads the other side's channels whole.

Each function equals the one of its name in `madsep_jax.ops.dws.lean_parts`, which says what it computes.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from madsep_jax.ops.dws.block import LEAKY_SLOPE
from madsep_jax.ops.dws.chunks import joined_moments
from madsep_jax.ops.dws.gpu_taps import CALL, load
from madsep_jax.ops.dws.gpu_tiles import ROWS, Groups, at_once_of, matrix, tile_product


def mixed(
    a_BTWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array, sign_C: jax.Array, *, pool: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """See `lean_parts.mixed`."""
    groups, dtype = Groups(a_BTWC.shape, pool), bias_C.dtype
    a_NC, channels = a_BTWC.reshape(-1, a_BTWC.shape[-1]), a_BTWC.shape[-1]

    def program(a_NC: Any, kernel_CC: Any, bias_C: Any, sign_C: Any, z_QC: Any, mean_KC: Any, squares_KC: Any) -> None:
        out_C = groups.channel_C()
        z_ERC = groups.mixed(a_NC, kernel_CC, bias_C, out_C)
        sign_C = load(sign_C, out_C, mask=out_C < channels)
        largest_RC = functools.reduce(jnp.maximum, (z_RC * sign_C for z_RC in z_ERC)) * sign_C
        pooled_Q1, is_whole_Q1 = groups.pooled_R1()
        mask_RC = is_whole_Q1 & (out_C < channels)[None]
        triton.store(z_QC.at[pooled_Q1, out_C[None]], largest_RC.astype(z_QC.dtype), mask=mask_RC)
        counted_ER1 = [groups.row_R1(e)[1] for e in range(pool)]
        count = functools.reduce(jnp.add, (jnp.sum(counted_R1.astype(dtype)) for counted_R1 in counted_ER1))

        def total_C(x_ERC: list[jax.Array]) -> jax.Array:
            terms = zip(counted_ER1, x_ERC, strict=True)
            return functools.reduce(jnp.add, (jnp.sum(jnp.where(counted, x_RC, 0), 0) for counted, x_RC in terms))

        mean_C = total_C(z_ERC) / count
        squares_C = total_C([jnp.square(z_RC - mean_C) for z_RC in z_ERC])
        for ref, value_C in ((mean_KC, mean_C), (squares_KC, squares_C)):
            triton.store(ref.at[pl.program_id(0), out_C], value_C, mask=out_C < channels)

    batch, frames, width, _ = a_BTWC.shape
    sums = jax.ShapeDtypeStruct((groups.grid[0], channels), dtype)
    out = jax.ShapeDtypeStruct((batch * frames * (width // pool), channels), a_BTWC.dtype)
    call = pl.pallas_call(program, out_shape=(out, sums, sums), grid=groups.grid, **CALL)
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
    """See `lean_parts.pooled_gradient`."""
    groups, dtype = Groups(a_BTWC.shape, pool), bias_C.dtype
    channels = a_BTWC.shape[-1]
    a_NC, grad_QC = a_BTWC.reshape(-1, channels), grad_BTWC.reshape(-1, channels)

    def program(a_NC: Any, kernel_CC: Any, bias_C: Any, sign_C: Any, grad_QC: Any, *refs: Any) -> None:
        constant_C, slope_C, grad_p_NC = refs
        out_C = groups.channel_C()
        z_ERC = groups.mixed(a_NC, kernel_CC, bias_C, out_C)
        sign_C, *affine = (load(ref, out_C, mask=out_C < channels) for ref in (sign_C, constant_C, slope_C))
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
    call = pl.pallas_call(program, out_shape=out, grid=groups.grid, **CALL)
    given = a_NC, kernel_CC.astype(a_NC.dtype), bias_C, sign_C.astype(dtype), grad_QC
    return call(*given, *of_z).reshape(a_BTWC.shape)


def products(
    a_BTWC: jax.Array, grad_BTWC: jax.Array, z_BTWC: jax.Array | None, constant_C: jax.Array, slope_C: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """See `lean_parts.products`."""
    arrays = [x.reshape(-1, x.shape[-1]) for x in (a_BTWC, grad_BTWC, z_BTWC) if x is not None]
    (count, channels), dtype = arrays[0].shape, constant_C.dtype
    at_once, rows = at_once_of(channels), ROWS // 2
    parts = min(pl.cdiv(count, rows), max(16, min(256, 2**20 // channels**2)))
    per_part = pl.cdiv(pl.cdiv(count, rows), parts)

    def program(a_NC: Any, grad_NC: Any, *refs: Any) -> None:
        *z, constant_C, slope_C, product_PCC, sum_PIC = refs
        part, in_C = pl.program_id(0), pl.program_id(1) * at_once + jnp.arange(at_once)
        out_C = pl.program_id(2) * at_once + jnp.arange(at_once)
        affine = [load(ref, out_C, mask=out_C < channels) for ref in (constant_C, slope_C)]

        def add(number: Any, carry: tuple) -> tuple:
            row_R1 = ((part * per_part + number) * rows + jnp.arange(rows))[:, None]
            grad_p_RC = _grad_p(grad_NC, z, row_R1, out_C[None], affine)
            a_RC = matrix(a_NC, row_R1, in_C[None])
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
    call = pl.pallas_call(program, out_shape=out_shape, grid=(parts, tiles, tiles), **CALL)
    product_PCC, sum_PIC = call(*arrays, constant_C, slope_C)
    return jnp.sum(product_PCC, 0), jnp.sum(sum_PIC[:, 0], 0)


def activation_gradient(
    a_BTWC: jax.Array,
    grad_BTWC: jax.Array,
    z_BTWC: jax.Array | None,
    constants: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    kernel_CC: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """See `lean_parts.activation_gradient`."""
    arrays = [x.reshape(-1, x.shape[-1]) for x in (a_BTWC, grad_BTWC, z_BTWC) if x is not None]
    (count, channels), dtype = arrays[0].shape, constants[0].dtype
    programs, at_once = pl.cdiv(count, ROWS), at_once_of(channels)

    def program(a_NC: Any, grad_NC: Any, *refs: Any) -> None:
        *z, constant_C, slope_C, below_C, below_slope_C, kernel_CC, grad_u_NC, sum_KC = refs
        row_R1, in_C, mask_RC = _tile_of(count, channels, at_once)

        def grad_p_RK(k: jax.Array) -> jax.Array:
            affine = [load(ref, k, mask=k < channels) for ref in (constant_C, slope_C)]
            return _grad_p(grad_NC, z, row_R1, k[None], affine).astype(a_NC.dtype)

        grad_a_RC = tile_product(grad_p_RK, kernel_CC, in_C, (ROWS, channels, at_once), dtype)
        a_RC = matrix(a_NC, row_R1, in_C[None]).astype(dtype)
        below_C, below_slope_C = (load(ref, in_C, mask=in_C < channels) for ref in (below_C, below_slope_C))
        grad_a_RC = grad_a_RC - below_C - below_slope_C * a_RC
        grad_u_RC = jnp.where(mask_RC, jnp.where(a_RC >= 0, grad_a_RC, LEAKY_SLOPE * grad_a_RC), 0)
        triton.store(grad_u_NC.at[row_R1, in_C[None]], grad_u_RC.astype(grad_u_NC.dtype), mask=mask_RC)
        triton.store(sum_KC.at[pl.program_id(0), in_C], jnp.sum(grad_u_RC, 0), mask=in_C < channels)

    sums = jax.ShapeDtypeStruct((programs, channels), dtype)
    out_shape = jax.ShapeDtypeStruct(arrays[0].shape, a_BTWC.dtype), sums
    call = pl.pallas_call(program, out_shape=out_shape, grid=(programs, pl.cdiv(channels, at_once)), **CALL)
    grad_u_NC, sum_KC = call(*arrays, *constants, kernel_CC.T.astype(a_BTWC.dtype))
    return grad_u_NC.reshape(a_BTWC.shape), jnp.sum(sum_KC, 0)


def _tile_of(count: int, channels: int, at_once: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    row_R1 = (pl.program_id(0) * ROWS + jnp.arange(ROWS))[:, None]
    out_C = pl.program_id(1) * at_once + jnp.arange(at_once)
    return row_R1, out_C, (row_R1 < count) & (out_C < channels)[None]


def _grad_p(grad_NC: Any, z: list, row_R1: Any, out_1C: Any, affine: list[jax.Array]) -> jax.Array:
    grad_RC = matrix(grad_NC, row_R1, out_1C).astype(affine[0].dtype)
    if not z:
        return grad_RC
    z_RC = matrix(z[0], row_R1, out_1C).astype(affine[0].dtype)
    return jnp.where(z_RC > 0, grad_RC + affine[0] + affine[1] * z_RC, 0)
