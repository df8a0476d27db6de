"""A training with so many steps in a call and so many seeds together, timed from batches of the host on."""

import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data_pipelines.batches.to_device import prefetch_to_device
from experiments.benchmarks.case import Case, make_batch
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.program import Program
from madsep_jax.train.running import Running
from madsep_jax.train.step import init_state

_BATCHES = 8

"""As many different ones are made; they come again and again."""


@dataclass
class Way:
    """One way to train a system, and what it took."""

    system: str
    steps_per_call: int
    seeds: int
    """More than one are trained together."""
    compile_s: float
    step_s: list[float] = field(default_factory=list)
    """Of each round the time of a step of one seed."""

    @property
    def median_step_s(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.step_s)


class TimedTraining:
    """A training that goes on round by round: the loop of the ablation, without its files."""

    def __init__(self, case: Case, steps_per_call: int, seeds: int) -> None:
        """Compile it for one device, and do a call."""
        config, program = case.config, Program(steps_per_call, seeds)
        self._program = program
        self._layout = make_layout(config, ParallelConfig(devices=1, steps_per_call=steps_per_call), program)
        states = [init_state(override(config, {"training.seed": seed})) for seed in range(seeds)]
        state = self._layout.place_state(program.join_states(states))
        self._made = [make_batch(override(config, {"training.seed": seed}), case.dtype) for seed in range(_BATCHES)]
        with without_compilation_cache():
            example = self._layout.place_batch(next(self._batches(steps_per_call)))
            call, compile_s = compile_layout(self._layout, state, example)
        self._run = Running(state, call, seeds=seeds)
        self.way = Way(case.system, steps_per_call, seeds, compile_s)
        self._train(steps_per_call)

    def run(self, steps: int) -> None:
        """Time so many steps of each seed, in whole calls; their metrics are fetched as in any training."""
        steps = -(-steps // self._program.steps) * self._program.steps
        start = time.perf_counter()
        self._train(steps)
        self.way.step_s.append((time.perf_counter() - start) / (steps * self.way.seeds))

    def _train(self, steps: int) -> None:
        for batch in prefetch_to_device(self._batches(steps), self._layout.place_batch):
            self._run.advance(batch)
            for _ in self._run.reports():
                pass
        for _ in self._run.reports(keep=0):
            pass

    def _batches(self, steps: int) -> Iterator[Any]:
        """Stack the batches of seeds and steps on the host, as a training does."""
        seeds = self._program.seeds
        made = itertools.islice(itertools.cycle(self._made), steps * seeds)
        return self._program.join_batches([made] * seeds)
