"""Depthwise convolution and pooling over frequency as sums and maxima of shifted arrays, which XLA makes in one pass.

Arrays are (batch, time, frequency, channels).
"""

import functools

import jax
import jax.numpy as jnp


def shifted_total(x: jax.Array, kernel_KKC: jax.Array, dilation: int) -> jax.Array:
    """Convolve each channel with its own odd-sided square kernel; zero padding keeps the size."""
    side = kernel_KKC.shape[0]
    elements_NC = kernel_KKC.reshape(side * side, -1)
    products = [
        shifted * element_C for shifted, element_C in zip(shifts_of(x, side, dilation), elements_NC, strict=True)
    ]
    return functools.reduce(jnp.add, products)


def shifts_of(x: jax.Array, side: int, dilation: int) -> list[jax.Array]:
    """Return, for each element of a kernel, what it is multiplied by; x is (B, T, W, …)."""
    half, (frames, width) = side // 2, x.shape[1:3]
    around = ((0, 0), (half * dilation, half * dilation), (half, half), *((0, 0),) * (x.ndim - 3))
    padded = jnp.pad(x, around)
    return [padded[:, i * dilation :, j:][:, :frames, :width] for i in range(side) for j in range(side)]


def patches_of(x: jax.Array, side: int, dilation: int) -> jax.Array:
    """Return the shifts of each of the p inputs of one channel; (B / p, T, p · side², W)."""
    shifts = (shift for pack in range(x.shape[-1]) for shift in shifts_of(x[..., pack], side, dilation))
    return jnp.stack(list(shifts), 2)


def chosen_of(x: jax.Array, sign_C: jax.Array, pool: int) -> jax.Array:
    """Return the largest of every `pool` neighbouring frequencies, the smallest where a channel's sign is negative.

    Where the sign is 0, all of them are chosen: their mean. Those left over at the top are dropped.
    """
    members = _members(x, pool)
    chosen = jnp.where(sign_C < 0, functools.reduce(jnp.minimum, members), functools.reduce(jnp.maximum, members))
    return jnp.where(sign_C == 0, (functools.reduce(jnp.add, members) / pool).astype(x.dtype), chosen)


def spread(grad: jax.Array, x: jax.Array, sign_C: jax.Array, pool: int) -> jax.Array:
    """Return the gradient of x from that of `chosen_of`; equal ones that are chosen share it, all where the sign is 0.

    x must be an array that is in memory: one that is computed may differ in its last bit when it is computed again, and
    then nothing would equal what was chosen, and the gradient be lost.
    """
    chosen, width = chosen_of(x, sign_C, pool), x.shape[2]
    equal = ((member == chosen) | (sign_C == 0) for member in _members(x, pool))
    count = functools.reduce(jnp.add, (each.astype(grad.dtype) for each in equal))
    takes = (x == _repeated(chosen, pool, width)) | (sign_C == 0)
    return jnp.where(takes, _repeated(grad / count, pool, width), 0)


def _members(x: jax.Array, pool: int) -> list[jax.Array]:
    end = x.shape[2] // pool * pool
    return [x[:, :, i:end:pool] for i in range(pool)]


def _repeated(x: jax.Array, pool: int, width: int) -> jax.Array:
    """Repeat each frequency `pool` times; zeros after them, up to a width.

    As a sum of shifted arrays with gaps: a reshaped broadcast would be written to memory.
    """
    gaps = jax.lax.pad(
        x,
        jnp.zeros((), x.dtype),
        [(0, 0, 0), (0, 0, 0), (pool - 1, width - x.shape[2] * pool + pool - 1, pool - 1), (0, 0, 0)],
    )
    return functools.reduce(jnp.add, (gaps[:, :, i : i + width] for i in range(pool)))
