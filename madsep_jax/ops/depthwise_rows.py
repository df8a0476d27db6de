"""The depthwise convolution of a few frames, and the gradient of its kernel: what the fast blocks are made of."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.ops.frame_chunks import dynamic_slice
from madsep_jax.ops.margins import Margins

#: Numbers of a frame, or of its tile, at most: as many as stay in the cache together with the frames around them.
_TILE_VALUES = 27_000


def tap_sum(x_RWC: jax.Array, kernel_KKC: jax.Array, bias_C: jax.Array, dilation: int) -> jax.Array:
    """Convolve frames that have their surroundings: (R + (k-1)·dilation, W + k-1, C) to (R, W, C).

    The sum goes over one row of the kernel at a time: what that row reads stays in the first-level cache.
    """
    side, _, channels = kernel_KKC.shape
    shape = (x_RWC.shape[0] - (side - 1) * dilation, x_RWC.shape[1] - (side - 1), channels)

    def add_row(sum_RWC: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        for j in range(side):
            sum_RWC = sum_RWC + dynamic_slice(x_RWC, (i * dilation, j, 0), shape) * kernel_KKC[i, j]
        return sum_RWC, None

    return jax.lax.scan(add_row, jnp.broadcast_to(bias_C, shape), jnp.arange(side))[0]


def kernel_products(x_RWC: jax.Array, grad_RWC: jax.Array, margins: Margins) -> jax.Array:
    """Return what a few frames add to the kernel's gradient, (side, side, C): products of input and gradient.

    For each kernel element, the frames of a tile of frequencies are multiplied and added up in one pass, which keeps
    the sums in registers. The sum over frequencies is a matrix product, since a reduction is several times slower on a
    CPU. All tiles and kernel rows share one loop, which is compiled once.

    Args:
        x_RWC: input frames with their surroundings.
        grad_RWC: gradient of the convolution's output.
        margins: of the kernel.
    """
    rows, width, channels = grad_RWC.shape
    side = margins.side
    start_J, counted_JW = frequency_tiles(width, channels)
    tiles, tile = counted_JW.shape
    x_RWC, grad_RWC = jax.lax.optimization_barrier((x_RWC, grad_RWC))

    def read(array_RWC: jax.Array, frame: jax.Array | int, first_bin: jax.Array) -> jax.Array:
        return jax.lax.squeeze(dynamic_slice(array_RWC, (frame, first_bin, 0), (1, tile, channels)), (0,))

    def of_kernel_row(_: None, place: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        i, start, counted_W = place
        frames = [i * margins.dilation + row for row in range(rows)]
        grads_WC = [read(grad_RWC, row, start) for row in range(rows)]
        sums_C = []
        for first_bin in [start + j for j in range(side)]:
            products_WC = map(jax.lax.mul, (read(x_RWC, frame, first_bin) for frame in frames), grads_WC)
            sums_C.append(counted_W @ functools.reduce(jax.lax.add, products_WC))
        return None, jnp.stack(sums_C)

    counted_JW = counted_JW.astype(grad_RWC.dtype)
    places = jax.tree.map(
        jnp.asarray, (np.tile(np.arange(side), tiles), np.repeat(start_J, side), np.repeat(counted_JW, side, 0))
    )
    _, sums = jax.lax.scan(of_kernel_row, None, places)
    return jnp.sum(sums.reshape(tiles, side, side, channels), 0)


def frequency_tiles(width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the frequencies into equally wide tiles, as many as a frame needs (J).

    Returns:
        Where each tile starts; and which of its frequencies count (J, W of a tile): where tiles do not divide the
        frequencies, the last one starts early and repeats a few.
    """
    tiles = math.ceil(width * channels / _TILE_VALUES)
    tile = math.ceil(width / tiles)
    wanted_J = np.arange(tiles) * tile
    start_J = np.minimum(wanted_J, width - tile)
    return start_J, start_J[:, None] + np.arange(tile) >= wanted_J[:, None]
