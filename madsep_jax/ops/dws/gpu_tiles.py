"""Tiles of matrix products on NVIDIA's GPUs, of positions one by one or of groups that are pooled.

A program (a block of threads) has a tile of some positions, R, times some channels, C.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from madsep_jax.ops.dws.gpu_taps import CHANNELS, load

#: Positions of a tile, where they are not pooled.
ROWS = 64


class Groups:
    """Programs that go over groups of neighbouring frequencies, of which the largest is kept.

    The last group of a frame may not be whole: nothing is kept of it.
    """

    def __init__(self, shape: tuple[int, ...], pool: int) -> None:
        """Take the shape of what is pooled."""
        batch, frames, self._width, self._channels = shape
        self._pool, self._rows = pool, ROWS if pool == 1 else ROWS // 2
        self._per_frame = pl.cdiv(self._width, pool)
        self._count, self._at_once = batch * frames * self._per_frame, at_once_of(self._channels)
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
        bias_C, dtype = load(bias_C, out_C, mask=out_C < self._channels), bias_C.dtype

        def element(e: int) -> jax.Array:
            row_R1, _ = self.row_R1(e)
            sizes = self._rows, self._channels, self._at_once
            p_RC = tile_product(lambda k: matrix(a_NC, row_R1, k[None]), kernel_CC, out_C, sizes, dtype)
            return jnp.maximum(p_RC + bias_C, 0).astype(a_NC.dtype).astype(dtype)

        return [element(e) for e in range(self._pool)]

    def _place_R1(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        group_R1 = (pl.program_id(0) * self._rows + jnp.arange(self._rows))[:, None]
        frame_R1 = jax.lax.div(group_R1, jnp.full_like(group_R1, self._per_frame))
        return group_R1, frame_R1, group_R1 - frame_R1 * self._per_frame


def at_once_of(channels: int) -> int:
    """Return how many channels a tile has."""
    return max(16, min(CHANNELS, pl.next_power_of_2(channels)))  # a product of the hardware has 16 at least


def tile_product(left: Callable, right_CC: Any, out_C: Any, sizes: tuple[int, int, int], dtype: Any) -> jax.Array:
    """Return a tile of left · right; `left` returns the tile that has the channels it is given, of positions.

    Sizes are the positions, all channels, and those of a tile.
    """
    rows, channels, at_once = sizes

    def add(number: Any, sum_RC: jax.Array) -> jax.Array:
        k = number * at_once + jnp.arange(at_once)
        right_KC = matrix(right_CC, k[:, None], out_C[None])
        return sum_RC + jnp.dot(left(k), right_KC, preferred_element_type=dtype)

    return jax.lax.fori_loop(0, pl.cdiv(channels, at_once), add, jnp.zeros((rows, at_once), dtype))


def matrix(ref: Any, row_R1: Any, column_1C: Any) -> jax.Array:
    """Load a tile of a matrix, 0 outside."""
    rows, columns = ref.shape
    return load(ref, row_R1, column_1C, mask=(row_R1 < rows) & (column_1C < columns))
