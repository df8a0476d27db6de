"""The recurrence of a GRU written for speed; `madsep_jax.ops.gru` defines what it computes.

Training: automatic differentiation of the scan would update the recurrent kernel's gradient at every step: a product of
a few rows, and a pass over an array as large as the kernel. Here the backward scan carries the state's gradient alone,
and the kernel's is one product over all steps, after it. What does not depend on the state's gradient, the slopes of
the gates, is computed before the scan, for all steps at once. Differentiation once, in reverse mode, is all that is
supported; `vmap` is.

Evaluation, where the kernel is too large for the cache: each step reads the whole recurrent kernel for a few sequences.
On a CPU the product runs at the speed of memory only where it reads the kernel along its rows, one row for each gate of
each unit: with 1488 units (MaD's decoder) and 4 sequences a step takes 0.5 ms so, and 0.7 to 1.0 ms otherwise. To
transpose the kernel takes as long as 20 steps, which is why training, whose kernel changes, does without.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class _Steps(NamedTuple):
    """States and gates of all steps; m = U_n h_{t-1} + c_n, the other names are those of `gru_scan`."""

    h_TBH: jax.Array
    r_TBH: jax.Array
    z_TBH: jax.Array
    n_TBH: jax.Array
    m_TBH: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def fast_gru_scan(
    gates_TBG: jax.Array, recurrent_kernel_HG: jax.Array, recurrent_bias_G: jax.Array, reverse: bool = False
) -> jax.Array:
    """Return what `gru_scan` does, for the same arguments."""
    return _run(gates_TBG, recurrent_kernel_HG, recurrent_bias_G, reverse, keep=lambda step: step.h_TBH)


def _forward(
    gates_TBG: jax.Array, recurrent_kernel_HG: jax.Array, recurrent_bias_G: jax.Array, reverse: bool
) -> tuple[jax.Array, tuple[_Steps, jax.Array]]:
    steps = _run(gates_TBG, recurrent_kernel_HG, recurrent_bias_G, reverse, keep=lambda step: step)
    return steps.h_TBH, (steps, recurrent_kernel_HG)


def _run(
    gates_TBG: jax.Array,
    recurrent_kernel_HG: jax.Array,
    recurrent_bias_G: jax.Array,
    reverse: bool,
    keep: Callable[[_Steps], Any],
) -> Any:
    """Scan over the steps, and stack what is kept of each.

    Each gate is scanned as an array of its own: XLA fuses a step's arithmetic into one loop, and on a CPU that loop is
    not vectorised where it reads several places of one scanned array (8 times slower).
    """
    from_x_TBH = jnp.split(gates_TBG, 3, axis=-1)
    r_bias_H, z_bias_H, n_bias_H = jnp.split(recurrent_bias_G, 3)

    def step(h_BH: jax.Array, from_x_BH: tuple[jax.Array, ...]) -> tuple[jax.Array, Any]:
        x_r_BH, x_z_BH, x_n_BH = from_x_BH
        h_r_BH, h_z_BH, h_n_BH = jnp.split(h_BH @ recurrent_kernel_HG, 3, axis=-1)
        r_BH = jax.nn.sigmoid(x_r_BH + h_r_BH)
        z_BH = jax.nn.sigmoid(x_z_BH + h_z_BH)
        m_BH = h_n_BH + n_bias_H
        n_BH = jnp.tanh(x_n_BH + r_BH * m_BH)
        h_BH = (1 - z_BH) * n_BH + z_BH * h_BH
        return h_BH, keep(_Steps(h_BH, r_BH, z_BH, n_BH, m_BH))

    start_BH = jnp.zeros_like(from_x_TBH[0][0])
    scanned = (from_x_TBH[0] + r_bias_H, from_x_TBH[1] + z_bias_H, from_x_TBH[2])
    return jax.lax.scan(step, start_BH, scanned, reverse=reverse)[1]


def _backward(
    reverse: bool, kept: tuple[_Steps, jax.Array], grad_TBH: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Carry the gradient from state to state, then make the others of it.

    The scan runs on flat (H, B) in place of (B, H), so that its product is the kernel as it lies in memory times a
    narrow matrix. On a CPU that reads the kernel row by row; the product from the other side reads it down columns of
    a few elements, and takes nearly twice as long.
    """
    (h_TBH, r_TBH, z_TBH, n_TBH, m_TBH), recurrent_kernel_HG = kept
    steps, batch, hidden = h_TBH.shape
    zeros_1BH = jnp.zeros_like(h_TBH[:1])
    before_TBH = jnp.concatenate([h_TBH[1:], zeros_1BH] if reverse else [zeros_1BH, h_TBH[:-1]])
    # Slopes: how each gate's argument moves the new state.
    n_slope_TBH = (1 - z_TBH) * (1 - jnp.square(n_TBH))
    r_slope_TBH = n_slope_TBH * m_TBH * r_TBH * (1 - r_TBH)
    z_slope_TBH = (before_TBH - n_TBH) * z_TBH * (1 - z_TBH)
    recurrent_slope_TBG = jnp.concatenate([r_slope_TBH, z_slope_TBH, n_slope_TBH * r_TBH], axis=-1)

    def flat(x_TBX: jax.Array) -> jax.Array:
        return jnp.swapaxes(x_TBX, 1, 2).reshape(steps, -1, hidden * batch)

    def step(from_later: jax.Array, given: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        grad, slopes, z = given
        grad = grad + from_later
        through_gates = (recurrent_kernel_HG @ (slopes * grad).reshape(3 * hidden, batch)).reshape(1, -1)
        return grad * z + through_gates, grad

    start = jnp.zeros_like(h_TBH[0]).reshape(1, -1)
    scanned = (flat(grad_TBH), flat(recurrent_slope_TBG), flat(z_TBH))
    _, grad_flat = jax.lax.scan(step, start, scanned, reverse=not reverse)
    grad_TBH = jnp.swapaxes(grad_flat.reshape(steps, hidden, batch), 1, 2)
    grad_recurrent_TBG = jnp.tile(grad_TBH, 3) * recurrent_slope_TBG
    grad_gates_TBG = jnp.concatenate([grad_recurrent_TBG[..., : 2 * hidden], grad_TBH * n_slope_TBH], axis=-1)
    grad_kernel_HG = before_TBH.reshape(-1, hidden).T @ grad_recurrent_TBG.reshape(-1, 3 * hidden)
    return grad_gates_TBG, grad_kernel_HG, jnp.sum(grad_recurrent_TBG, axis=(0, 1))


fast_gru_scan.defvjp(_forward, _backward)

#: Smaller kernels stay in the cache, where the other product is the faster one.
_LARGE_BYTES = 16 * 2**20
_STORED = "recurrent_kernel"
KERNEL_BY_ROWS = "recurrent_kernel_by_rows"


def with_kernels_by_rows(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables with each large recurrent kernel (H, 3H) replaced by its transpose, named `KERNEL_BY_ROWS`."""
    result: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, Mapping):
            result[name] = with_kernels_by_rows(value)
        elif name == _STORED and value.ndim == 2 and value.size * value.dtype.itemsize > _LARGE_BYTES:
            result[KERNEL_BY_ROWS] = jnp.transpose(value)
        else:
            result[name] = value
    return result


def row_gru_scan(
    gates_TBG: jax.Array, recurrent_kernel_GH: jax.Array, recurrent_bias_G: jax.Array, reverse: bool = False
) -> jax.Array:
    """Return what `madsep_jax.ops.gru.gru_scan` does, for the transposed kernel; states are columns, (H, B)."""
    x_r_THB, x_z_THB, x_n_THB = jnp.split(jnp.swapaxes(gates_TBG, 1, 2), 3, axis=1)
    r_bias_H1, z_bias_H1, n_bias_H1 = jnp.split(recurrent_bias_G[:, None], 3)

    def step(h_HB: jax.Array, from_x_HB: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        x_r_HB, x_z_HB, x_n_HB = from_x_HB
        h_r_HB, h_z_HB, h_n_HB = jnp.split(recurrent_kernel_GH @ h_HB, 3)
        r_HB = jax.nn.sigmoid(x_r_HB + h_r_HB)
        z_HB = jax.nn.sigmoid(x_z_HB + h_z_HB)
        n_HB = jnp.tanh(x_n_HB + r_HB * (h_n_HB + n_bias_H1))
        h_HB = (1 - z_HB) * n_HB + z_HB * h_HB
        return h_HB, h_HB

    scanned = (x_r_THB + r_bias_H1, x_z_THB + z_bias_H1, x_n_THB)
    h_THB = jax.lax.scan(step, jnp.zeros_like(x_r_THB[0]), scanned, reverse=reverse)[1]
    return jnp.swapaxes(h_THB, 1, 2)
