"""The recurrence of a GRU for GPUs and TPUs; `madsep_jax.ops.gru` defines what it computes.

A step is a product of a few rows with the recurrent kernel and some arithmetic of a few rows: each takes less time than
to launch it. So several steps are one turn of the loop: what a turn does besides, to count and to copy, comes once for
all of them, and the arithmetic of a step, with what it keeps, becomes one operation beside the product. As in
`madsep_jax.ops.fast_gru`, the backward scan carries the state's gradient alone, and the kernel's is one product over
all steps, after it; differentiation once, in reverse mode, is all that is supported, and `vmap` is.

The product of the backward scan adds up over the gates of all units. On a GPU, XLA divides such a sum into parts that
run side by side, and fills the kernel up for it with zeros until its size can be divided: in each step anew, unless it
can be from the beginning.

Of arguments in bfloat16 the products alone are: the state, the gates and all that is added up are float32.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.precision import widened


class _Form(NamedTuple):
    """What differs between targets; chosen by what is counted in their compiled programs, and not measured."""

    steps_per_turn: int
    gates_multiple: int
    """Columns of the recurrent kernel are filled up to a multiple of this for the backward scan."""
    merges: bool
    """Whether two directions of one size run as one scan."""


#: gpu: kernels are counted; 64 columns are 8 parts of 8 numbers in bfloat16, and 16 parts of 4 in float32. tpu: cycles
#: are, as the compiler estimates them; it keeps the recurrent kernel on the chip over the whole scan in any form. Two
#: directions in one scan take more of them, and turns of several steps take longer to compile.
FORMS = {"gpu": _Form(10, 64, merges=True), "tpu": _Form(1, 1, merges=False)}


class _Steps(NamedTuple):
    """States and gates of all steps; m = U_n h_{t-1} + c_n, the other names are those of `gru_scan`."""

    h_TBH: jax.Array
    r_TBH: jax.Array
    z_TBH: jax.Array
    n_TBH: jax.Array
    m_TBH: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def unrolled_gru_scan(
    gates_TBG: jax.Array, recurrent_kernel_HG: jax.Array, recurrent_bias_G: jax.Array, reverse: bool, target: str
) -> jax.Array:
    """Return what `gru_scan` does, for the same arguments and one of the targets in `FORMS`."""
    h_TBH = _run(gates_TBG, recurrent_kernel_HG, recurrent_bias_G, reverse, target, keep=lambda step: step.h_TBH)
    return h_TBH.astype(gates_TBG.dtype)


def _forward(
    gates_TBG: jax.Array, recurrent_kernel_HG: jax.Array, recurrent_bias_G: jax.Array, reverse: bool, target: str
) -> tuple[jax.Array, tuple[_Steps, jax.Array]]:
    steps = _run(gates_TBG, recurrent_kernel_HG, recurrent_bias_G, reverse, target, keep=lambda step: step)
    return steps.h_TBH.astype(gates_TBG.dtype), (steps, recurrent_kernel_HG)


def _run(
    gates_TBG: jax.Array,
    recurrent_kernel_HG: jax.Array,
    recurrent_bias_G: jax.Array,
    reverse: bool,
    target: str,
    keep: Callable[[_Steps], Any],
) -> Any:
    """Scan over the steps, and stack what is kept of each."""
    bias_G = widened(recurrent_bias_G)

    def step(h_BH: jax.Array, gates_BG: jax.Array) -> tuple[jax.Array, Any]:
        x_r_BH, x_z_BH, x_n_BH = jnp.split(widened(gates_BG), 3, axis=-1)
        h_r_BH, h_z_BH, m_BH = jnp.split(_product(h_BH, recurrent_kernel_HG, (1, 0)) + bias_G, 3, axis=-1)
        r_BH = jax.nn.sigmoid(x_r_BH + h_r_BH)
        z_BH = jax.nn.sigmoid(x_z_BH + h_z_BH)
        n_BH = jnp.tanh(x_n_BH + r_BH * m_BH)
        h_BH = (1 - z_BH) * n_BH + z_BH * h_BH
        return h_BH, keep(_Steps(h_BH, r_BH, z_BH, n_BH, m_BH))

    start_BH = widened(jnp.zeros_like(gates_TBG[0, :, : recurrent_kernel_HG.shape[0]]))
    return jax.lax.scan(step, start_BH, gates_TBG, reverse=reverse, unroll=FORMS[target].steps_per_turn)[1]


def _backward(
    reverse: bool, target: str, kept: tuple[_Steps, jax.Array], grad_TBH: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Carry the gradient from state to state, then make the others of it."""
    (h_TBH, r_TBH, z_TBH, n_TBH, m_TBH), recurrent_kernel_HG = kept
    hidden, width = recurrent_kernel_HG.shape
    fill = -width % FORMS[target].gates_multiple
    filled_kernel_HG = jnp.pad(recurrent_kernel_HG, ((0, 0), (0, fill)))
    zeros_1BH = jnp.zeros_like(h_TBH[:1])
    before_TBH = jnp.concatenate([h_TBH[1:], zeros_1BH] if reverse else [zeros_1BH, h_TBH[:-1]])
    # Slopes: how each gate's argument moves the new state.
    n_slope_TBH = (1 - z_TBH) * (1 - jnp.square(n_TBH))
    r_slope_TBH = n_slope_TBH * m_TBH * r_TBH * (1 - r_TBH)
    z_slope_TBH = (before_TBH - n_TBH) * z_TBH * (1 - z_TBH)
    recurrent_slope_TBG = jnp.concatenate([r_slope_TBH, z_slope_TBH, n_slope_TBH * r_TBH], axis=-1)

    def step(from_later_BH: jax.Array, given: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        grad_BH, slope_BG, z_BH = given
        grad_BH = widened(grad_BH) + from_later_BH
        grad_recurrent_BG = jnp.pad(jnp.tile(grad_BH, 3) * slope_BG, ((0, 0), (0, fill)))
        return grad_BH * z_BH + _product(grad_recurrent_BG, filled_kernel_HG, (1, 1)), grad_BH

    scanned, turn = (grad_TBH, recurrent_slope_TBG, z_TBH), FORMS[target].steps_per_turn
    _, grad_TBH = jax.lax.scan(step, jnp.zeros_like(h_TBH[0]), scanned, reverse=not reverse, unroll=turn)
    grad_recurrent_TBG = jnp.tile(grad_TBH, 3) * recurrent_slope_TBG
    grad_gates_TBG = jnp.concatenate([grad_recurrent_TBG[..., : 2 * hidden], grad_TBH * n_slope_TBH], axis=-1)
    dtype = recurrent_kernel_HG.dtype
    grad_kernel_HG = _product(
        before_TBH.reshape(-1, hidden), grad_recurrent_TBG.reshape(-1, width).astype(dtype), (0, 0)
    )
    grad_bias_G = jnp.sum(grad_recurrent_TBG, axis=(0, 1))
    return grad_gates_TBG.astype(dtype), grad_kernel_HG.astype(dtype), grad_bias_G.astype(dtype)


def _product(wide: jax.Array, other: jax.Array, axes: tuple[int, int]) -> jax.Array:
    """Multiply in the other's precision, and add up over an axis of each in that of the state."""
    dimensions = (((axes[0],), (axes[1],)), ((), ()))
    return jax.lax.dot_general(wide.astype(other.dtype), other, dimensions, preferred_element_type=wide.dtype)


unrolled_gru_scan.defvjp(_forward, _backward)
