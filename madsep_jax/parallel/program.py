"""What one call of a compiled training program does: a step, several of them, or those of several seeds.

A batch's arrays have their axes in this order: steps (where a call does several), seeds (where there are several),
sequences. Metrics have the first two.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.train.state import TrainState, TrainStep


class Program(NamedTuple):
    """How many steps and seeds a call takes."""

    steps: int = 1
    """1 for a call that does one step, whose batches have no axis of steps."""
    seeds: int | None = None
    """None for one seed, without an axis of its own."""

    @property
    def batch_axis(self) -> int:
        """Which axis of a batch's arrays is that of the sequences."""
        return (self.steps > 1) + (self.seeds is not None)

    def of(self, step: TrainStep) -> TrainStep:
        """Return the function that a call computes, of one that does a step of one seed."""
        if self.seeds is not None:
            step = jax.vmap(step)
        return _scanned(step) if self.steps > 1 else step


def _scanned(step: TrainStep) -> TrainStep:
    def steps(state: TrainState, batches: Any) -> tuple[TrainState, Any]:
        return jax.lax.scan(step, state, batches)

    return steps


def group_steps(batches: Iterable[Any], steps: int, sizes: Iterable[int] | None = None) -> Iterator[Any]:
    """Stack the batches of each call's steps, as long as there are any. With one step a call, they stay as they are.

    Args:
        batches: of single steps.
        steps: in a call, at most.
        sizes: steps of each call; by default `steps`, and what is left for the last one.
    """
    if steps == 1:
        yield from batches
        return
    remaining = iter(batches)
    for size in repeat(steps) if sizes is None else sizes:
        if not (group := list(islice(remaining, size))):
            return
        yield stack_batches(group)


def stack_batches(batches: Sequence[Any]) -> Any:
    """Stack the arrays of batches along a new first axis, on the host."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)


def stack_states(states: Sequence[TrainState]) -> TrainState:
    """Put the states of several seeds into one, along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def state_of_seed(states: TrainState, number: int) -> TrainState:
    """Take one seed's state out again, without the last gradient."""
    return jax.tree.map(lambda leaf: leaf[number], dataclasses.replace(states, gradient=None))
