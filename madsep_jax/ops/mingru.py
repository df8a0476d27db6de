"""The recurrence of a minimal GRU over time: sequential, as it is defined, and parallel in time.

L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi: Were RNNs All We Needed?, 2024 (arXiv:2410.01201). A gate
reads the input alone, not the state. So h_t = a_t ⊙ h_{t-1} + b_t is linear in the state, two steps in a row are one
such step again,

(a, b) then (a', b')  =  (a' a, a' b + b'),

and as this is associative, all T states come of about 2 log2 T rounds of it in place of T steps.

The rounds are those of `lax.associative_scan`, in the linear form and not in that of logarithms: every a is in (0, 1),
and every b is positive. So products of a can only become small, where they stand for what is forgotten, and sums lose
nothing; no round divides. The paper takes logarithms because it divides by such products.

In 16 bits the projections alone are computed: states and gates are float32.
"""

import functools

import jax
import jax.numpy as jnp

from madsep_jax.ops.precision import widened


def mingru_scan(gates_TBG: jax.Array, reverse: bool = False) -> jax.Array:
    """Return the hidden states h_TBH of a minimal GRU, which starts from zeros, step by step.

    z_t = σ(g_z)
    c_t = g_c + 1/2 where g_c ≥ 0, else σ(g_c)
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ c_t

    Args:
        gates_TBG: the input projections g = W x + b of all steps; G = 2H, in the order z, c.
        reverse: run from the last step to the first; states stay at the step that they belong to.
    """

    def step(h_BH: jax.Array, terms: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        h_BH = terms[0] * h_BH + terms[1]
        return h_BH, h_BH

    kept_TBH, added_TBH = _terms(gates_TBG)
    h_TBH = jax.lax.scan(step, jnp.zeros_like(added_TBH[0]), (kept_TBH, added_TBH), reverse=reverse)[1]
    return h_TBH.astype(gates_TBG.dtype)


def parallel_mingru_scan(gates_TBG: jax.Array, reverse: bool = False) -> jax.Array:
    """Return what `mingru_scan` does, for the same arguments; differentiation once, in reverse mode, is supported."""
    return _linear_scan(*_terms(gates_TBG), reverse).astype(gates_TBG.dtype)


def _terms(gates_TBG: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return a = 1 - z, as a sigmoid so that it keeps its digits where it is small, and b = z ⊙ c."""
    z_TBH, c_TBH = jnp.split(widened(gates_TBG), 2, axis=-1)
    return jax.nn.sigmoid(-z_TBH), jax.nn.sigmoid(z_TBH) * jnp.where(c_TBH >= 0, c_TBH + 0.5, jax.nn.sigmoid(c_TBH))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _linear_scan(kept_TBH: jax.Array, added_TBH: jax.Array, reverse: bool) -> jax.Array:
    """Return h_t = a_t ⊙ h_{t-1} + b_t, in rounds.

    The gradient of its rounds would keep all that they compute. That of the recurrence is a recurrence in the other
    direction, of the same kind: λ_t = ∂L/∂h_t + a_{t+1} ⊙ λ_{t+1}, ∂L/∂b_t = λ_t, ∂L/∂a_t = λ_t ⊙ h_{t-1}.
    """

    def both(first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return second[0] * first[0], second[0] * first[1] + second[1]

    return jax.lax.associative_scan(both, (kept_TBH, added_TBH), reverse=reverse)[1]


def _forward(kept_TBH: jax.Array, added_TBH: jax.Array, reverse: bool) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    h_TBH = _linear_scan(kept_TBH, added_TBH, reverse)
    return h_TBH, (kept_TBH, h_TBH)


def _backward(reverse: bool, kept: tuple[jax.Array, jax.Array], grad_TBH: jax.Array) -> tuple[jax.Array, jax.Array]:
    kept_TBH, h_TBH = kept
    grad_added_TBH = _linear_scan(_shifted(kept_TBH, not reverse), grad_TBH, not reverse)
    return grad_added_TBH * _shifted(h_TBH, reverse), grad_added_TBH


def _shifted(x_TBH: jax.Array, reverse: bool) -> jax.Array:
    """Return at each step what was there at the step before, in the direction of the run; zeros at the first."""
    zeros_1BH = jnp.zeros_like(x_TBH[:1])
    return jnp.concatenate([x_TBH[1:], zeros_1BH] if reverse else [zeros_1BH, x_TBH[:-1]])


_linear_scan.defvjp(_forward, _backward)
