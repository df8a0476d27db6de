"""The depthwise convolution of a few frames, and the gradient of its kernel: what the fast blocks are made of."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.ops.dws.chunks import Chunk, FrameChunks, dynamic_slice, weighted_sum

#: Numbers of a frame, or of its tile, at most: as many as stay in the cache together with their sums.
_TILE_VALUES = 36_000

#: Frames, at most, that one pass multiplies by the kernel's rows.
_ROWS_TOGETHER = 6


def tap_sum(
    x_RWC: jax.Array,
    kernel_KKC: jax.Array,
    bias_C: jax.Array,
    dilation: int,
    first: jax.Array | int = 0,
    rows: int | None = None,
    at_once: bool = False,
) -> jax.Array:
    """Convolve frames that have their surroundings: (R + (k-1)·dilation, W + k-1, C) to (R, W, C).

    The sum goes over one row of the kernel at a time: what that row reads stays in the first-level cache. Where the
    surroundings are not the whole of x_RWC, `first` is where they begin, and `rows` is R. `at_once` makes it one pass
    over all rows of the kernel: faster where little else competes for the caches.
    """
    side, _, channels = kernel_KKC.shape
    rows = len(x_RWC) - (side - 1) * dilation if rows is None else rows
    shape = (rows, x_RWC.shape[1] - (side - 1), channels)

    def add_row(sum_RWC: jax.Array, i: Any) -> tuple[jax.Array, None]:
        for j in range(side):
            sum_RWC = sum_RWC + dynamic_slice(x_RWC, (first + i * dilation, j, 0), shape) * kernel_KKC[i, j]
        return sum_RWC, None

    return jax.lax.scan(add_row, jnp.broadcast_to(bias_C, shape), np.arange(side), unroll=at_once)[0]


def kernel_gradient(
    kernel_KKC: jax.Array,
    read: Callable[[Chunk], tuple[jax.Array, jax.Array]],
    chunks: FrameChunks,
    width: int,
    dilation: int,
) -> jax.Array:
    """Return the gradient of a depthwise kernel: products of input and gradient, summed over all positions.

    It goes over tiles of the frequencies, so that the sums of a tile stay in the cache: for each of its frequencies one
    of each kernel element. A few frames at a time are multiplied by all rows of the kernel in one pass, which reads
    them once. The sum over frequencies, a matrix product, comes last.

    `read` returns the input of a chunk with its surroundings, and the gradient of the convolution's output: of `width`
    frequencies, and 0 in the fill.
    """
    (side, _, channels), dtype = kernel_KKC.shape, kernel_KKC.dtype
    start_J, counted_JW = frequency_tiles(width, channels)
    tile, rows = counted_JW.shape[1], _rows_together(chunks.rows)
    reach = 1 + (side - 1) * dilation

    def of_tile(_: None, place: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        start, counted_W = place

        def of_chunk(sums_WKC: tuple[jax.Array, ...], chunk: Chunk) -> tuple[tuple, None]:
            x_RWC, grad_RWC = read(chunk)
            x_RWC = dynamic_slice(x_RWC, (0, start, 0), (len(x_RWC), tile + side - 1, channels))
            grad_RWC = dynamic_slice(grad_RWC, (0, start, 0), (len(grad_RWC), tile, channels))

            def of_rows(sums_WKC: tuple[jax.Array, ...], first: Any) -> tuple[tuple, None]:
                for row in range(rows):
                    grad_1WC = dynamic_slice(grad_RWC, (first + row, 0, 0), (1, tile, channels))
                    reached_RWC = dynamic_slice(x_RWC, (first + row, 0, 0), (reach, tile + side - 1, channels))
                    x_KWC = reached_RWC[::dilation]
                    sums_WKC = tuple(
                        sum_WKC + (x_KWC[:, j : j + tile] * grad_1WC).transpose(1, 0, 2)
                        for j, sum_WKC in enumerate(sums_WKC)
                    )
                return sums_WKC, None

            return jax.lax.scan(of_rows, sums_WKC, np.arange(0, chunks.rows, rows))

        sums_WKC, _ = chunks.scan(of_chunk, (jnp.zeros((tile, side, channels), dtype),) * side)
        sums_KC = [weighted_sum(counted_W, sum_WKC.reshape(tile, -1)).reshape(side, channels) for sum_WKC in sums_WKC]
        return None, jnp.stack(sums_KC)

    places = jnp.asarray(start_J), jnp.asarray(counted_JW.astype(dtype))
    return jnp.sum(jax.lax.scan(of_tile, None, places)[1], 0).swapaxes(0, 1)


def _rows_together(rows: int) -> int:
    """Return how many frames of a chunk one pass takes: they divide it, and where they can, they are not all of it.

    The loop over them is what makes the compiler write a chunk's input once: it would compute it again for each of the
    kernel's columns.
    """
    return max(number for number in range(1, _ROWS_TOGETHER + 1) if rows % number == 0 and (number < rows or rows == 1))


def frequency_tiles(width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the frequencies into equally wide tiles, as many as a frame needs (J).

    Returns where each tile starts; and which of its frequencies count (J, W of a tile): where tiles do not divide the
    frequencies, the last one starts early and repeats a few.
    """
    tiles = math.ceil(width * channels / _TILE_VALUES)
    tile = math.ceil(width / tiles)
    wanted_J = np.arange(tiles) * tile
    start_J = np.minimum(wanted_J, width - tile)
    return start_J, start_J[:, None] + np.arange(tile) >= wanted_J[:, None]
