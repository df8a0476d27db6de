"""Recurrent inference: a decoder applied to its own output until that hardly changes (the recurrent-inference poster).

S_0 = decode(H_enc)
for i in 1 … iter:  H = decode(S_{i-1});  end if MSE(S_{i-1}, H) < τ;  S_i = H
return H

The mean squared error is that of the whole batch, so that one sequence's states depend, through the number of
iterations, on the other sequences in its batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.precision import widened
from madsep_jax.ops.shared_batch import average


class Refined(NamedTuple):
    """The last state computed, and what it took."""

    state_BTH: jax.Array
    decoder_calls: jax.Array
    """How often the decoder was applied, the first time included: 2 to `iterations` + 1; int32 scalar."""
    finished: jax.Array
    """Whether the state hardly changed any more."""


def refine(
    decode: Callable[[jax.Array], jax.Array],
    state_BTH: jax.Array,
    iterations: int,
    tolerance: float,
    differentiable: bool = False,
) -> Refined:
    """Apply a decoder to its own output until the mean squared change is below the tolerance.

    Args:
        decode: from state to state; a pure function.
        state_BTH: S_0, the decoder's first output.
        iterations: `iter`, the most applications after the first.
        tolerance: τ_term; 0 for no early end.
        differentiable: use a loop that reverse-mode differentiation can go through. It runs all its turns, those after
            the end without decoding. The other one ends at the end. Both return the same.
    """

    def advance(progress: Refined) -> Refined:
        new_BTH = decode(progress.state_BTH)
        change = average(jnp.mean(jnp.square(widened(new_BTH - progress.state_BTH))))
        return Refined(new_BTH, progress.decoder_calls + 1, change < tolerance)

    def unfinished(progress: Refined) -> jax.Array:
        return (progress.decoder_calls <= iterations) & ~progress.finished

    def turn(progress: Refined, _: None) -> tuple[Refined, None]:
        return jax.lax.cond(progress.finished, lambda same: same, advance, progress), None

    start = Refined(state_BTH, jnp.ones((), jnp.int32), jnp.zeros((), bool))
    if differentiable:
        return jax.lax.scan(turn, start, length=iterations)[0]
    return jax.lax.while_loop(unfinished, advance, start)
