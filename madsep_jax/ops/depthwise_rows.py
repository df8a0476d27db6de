"""The depthwise convolution of a few frames, and the gradient of its kernel: what the fast blocks are made of."""

import functools
import math

import jax
import jax.numpy as jnp

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
            sum_RWC = sum_RWC + jax.lax.dynamic_slice(x_RWC, (i * dilation, j, 0), shape) * kernel_KKC[i, j]
        return sum_RWC, None

    return jax.lax.scan(add_row, jnp.broadcast_to(bias_C, shape), jnp.arange(side))[0]


def empty_sums(side: int, width: int, channels: int, dtype: jnp.dtype) -> tuple[jax.Array, ...]:
    """Return the sums that `add_products` starts from: for each kernel element one over the frequencies of a tile."""
    return (jnp.zeros((_tile_width(width, channels), channels), dtype),) * side**2


def add_products(
    sums: tuple[jax.Array, ...], x_RWC: jax.Array, grad_RWC: jax.Array, margins: Margins
) -> tuple[jax.Array, ...]:
    """Add the products of input and gradient to the sum of each kernel element.

    Each sum is over frames alone, and over tiles of frequencies, elementwise, so that the compiler adds up a whole
    chunk's frames in registers. `joined_sums` adds up the rest.

    Args:
        sums: so far.
        x_RWC: input frames with their surroundings.
        grad_RWC: gradient of the convolution's output.
        margins: of the kernel.
    """
    rows, width, _ = grad_RWC.shape
    side, dilation, tile = margins.side, margins.dilation, len(sums[0])

    def add_tile(sums: tuple[jax.Array, ...], x: jax.Array, grad: jax.Array) -> tuple[jax.Array, ...]:
        x, grad = jax.lax.optimization_barrier((x, grad))
        return tuple(
            sums[i * side + j]
            + functools.reduce(jnp.add, (x[row + i * dilation, j : j + tile] * grad[row] for row in range(rows)))
            for i in range(side)
            for j in range(side)
        )

    if tile == width:
        return add_tile(sums, x_RWC, grad_RWC)
    tiles = math.ceil(width / tile)
    fill = ((0, 0), (0, tiles * tile - width), (0, 0))
    x_RWC, grad_RWC = jax.lax.optimization_barrier((jnp.pad(x_RWC, fill), jnp.pad(grad_RWC, fill)))

    def step(sums: tuple[jax.Array, ...], start: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        x = jax.lax.dynamic_slice_in_dim(x_RWC, start, tile + side - 1, 1)
        return add_tile(sums, x, jax.lax.dynamic_slice_in_dim(grad_RWC, start, tile, 1)), None

    return jax.lax.scan(step, sums, jnp.arange(tiles) * tile)[0]


def joined_sums(sums: tuple[jax.Array, ...], side: int) -> jax.Array:
    """Return the kernel's gradient (side, side, C)."""
    return jnp.stack([jnp.sum(total, 0) for total in sums]).reshape(side, side, -1)


def _tile_width(width: int, channels: int) -> int:
    tiles = math.ceil(width * channels / _TILE_VALUES)
    return math.ceil(width / tiles)
