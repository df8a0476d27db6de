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

from madsep_jax.config.run import RunConfig
from madsep_jax.train.batch import TrainState, TrainStep, zero_batch
from madsep_jax.train.step import init_state


class Program(NamedTuple):
    """How many steps and seeds a call takes. Where that is one, there is no axis of it."""

    steps: int = 1
    seeds: int = 1

    @property
    def batch_axis(self) -> int:
        """Which axis of a batch's arrays is that of the sequences."""
        return (self.steps > 1) + (self.seeds > 1)

    def of(self, step: TrainStep) -> TrainStep:
        """Return the function that a call computes, of one that does a step of one seed."""
        if self.seeds > 1:
            step = jax.vmap(step)
        if self.steps == 1:
            return step

        def steps(state: TrainState, batches: Any) -> tuple[TrainState, Any]:
            return jax.lax.scan(step, state, batches)

        return steps

    def shapes(self, config: RunConfig) -> tuple[TrainState, Any]:
        """Return the shapes of the state and of a batch of magnitudes that a call takes, without computing any."""
        lead = (self.steps,) * (self.steps > 1) + (self.seeds,) * (self.seeds > 1)
        state, batch = jax.eval_shape(lambda: (self.join_states([init_state(config)] * self.seeds), zero_batch(config)))
        return state, jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*lead, *leaf.shape), leaf.dtype), batch)

    def join_states(self, states: Sequence[TrainState]) -> TrainState:
        """Put the states of all seeds into one."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if self.seeds > 1 else states[0]

    def split_states(self, state: TrainState) -> list[TrainState]:
        """Take the state of each seed out again, on one device of this process; of several, without the gradients."""
        here = jax.tree.map(lambda leaf: leaf.addressable_data(0), state)
        if self.seeds == 1:
            return [here]
        here = dataclasses.replace(here, gradient=None)
        return [jax.tree.map(lambda leaf, seed=seed: leaf[seed], here) for seed in range(self.seeds)]

    def join_batches(self, of_seeds: Sequence[Iterable[Any]], sizes: Iterable[int] | None = None) -> Iterator[Any]:
        """Yield what each call takes, as long as there are batches, of each seed's batches of single steps.

        The sizes are the steps of each call, see `call_sizes`; by default `steps`, and what is left for the last one.
        """
        together = zip(*of_seeds, strict=True)
        batches = map(_stack, together) if self.seeds > 1 else (batch for (batch,) in together)
        if self.steps == 1:
            yield from batches
            return
        for size in repeat(self.steps) if sizes is None else sizes:
            if not (group := list(islice(batches, size))):
                return
            yield _stack(group)

    def call_sizes(self, first_step: int, total_steps: int, epoch: int | None = None) -> Iterator[int]:
        """Yield how many steps each call does, from the steps done before up to those of the whole training.

        With an epoch's steps given, at whose end something is to be done with the state of just that step, no call goes
        over the end of an epoch.
        """
        done = first_step
        while done < total_steps:
            left = total_steps - done if epoch is None else min(total_steps - done, epoch - done % epoch)
            yield min(self.steps, left)
            done += min(self.steps, left)


def _stack(batches: Sequence[Any]) -> Any:
    """Stack the arrays of batches along a new first axis, on the host."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
