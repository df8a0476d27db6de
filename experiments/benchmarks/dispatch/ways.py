"""A training with so many steps in a call and so many seeds together, timed from batches of the host on.

Beside it the table of `experiments.dispatch`.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from data_pipelines.batches.to_device import prefetch_to_device
from experiments.benchmarks.case import Case, make_batch
from experiments.benchmarks.rounds import shown_range
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import describe_machine
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.program import Program
from madsep_jax.train.running import Running
from madsep_jax.train.step import init_state

#: As many different ones are made; they come again and again.
_BATCHES = 8

_CAPTION = (
    "Step: time of a train step of one seed in the training loop, batches from the host and metrics fetched; median of "
    "the rounds and their range, the ways of a system in turn. Speed-up: over one seed and one step in a call. "
    "Compile: of the program, for all its seeds."
)

_COLUMNS = (
    Column("system", "system", word=True),
    Column("seeds", "seeds"),
    Column("steps a call", "steps_per_call"),
    Column("step (ms)", "median_step_s", ".2f", 1e3),
    Column("range (ms)", lambda row: shown_range(row["step_s"], ".2f")),
    Column("speed-up", "speed_up", ".2f"),
    Column("compile (s)", "compile_s", ".1f"),
)


class TimedTraining:
    """A training that goes on round by round: the loop of the ablation, without its files."""

    def __init__(self, case: Case, steps_per_call: int, seeds: int) -> None:
        """Compile it for one device, and do a call."""
        config, program = case.config, Program(steps_per_call, seeds)
        self._program = program
        self._about = {"system": case.system, "steps_per_call": steps_per_call, "seeds": seeds}
        self._layout = make_layout(config, ParallelConfig(devices=1, steps_per_call=steps_per_call), program)
        states = [init_state(override(config, {"training.seed": seed})) for seed in range(seeds)]
        state = self._layout.place_state(program.join_states(states))
        self._made = [make_batch(override(config, {"training.seed": seed}), case.dtype) for seed in range(_BATCHES)]
        with without_compilation_cache():
            example = self._layout.place_batch(next(self._batches(steps_per_call)))
            call, self._compile_s = compile_layout(self._layout, state, example)
        self._run = Running(state, call, seeds=seeds)
        self._train(steps_per_call)

    def run(self, steps: int) -> float:
        """Do so many steps of each seed, in whole calls, their metrics fetched as in any training; return their time.

        It is in seconds, of one step of one seed.
        """
        steps = -(-steps // self._program.steps) * self._program.steps
        start = time.perf_counter()
        self._train(steps)
        return (time.perf_counter() - start) / (steps * self._program.seeds)

    def row(self, step_s: Sequence[float]) -> dict[str, Any]:
        """Return what it is, and what it took: the time of each round, and their median."""
        return {**self._about, "compile_s": self._compile_s, "step_s": step_s, "median_step_s": median(step_s)}

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


def with_speed_ups(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with `speed_up`: how many times faster than one seed and one step in a call each is."""
    one_s = {row["system"]: row["median_step_s"] for row in rows if (row["steps_per_call"], row["seeds"]) == (1, 1)}
    return [{**row, "speed_up": one_s[row["system"]] / row["median_step_s"]} for row in rows]


def make_report(rows: Sequence[Row], settings: Mapping[str, Any]) -> Report:
    """Return dispatch.json and table.md: the ways that have been measured."""
    rows = with_speed_ups(rows)
    table = Table(_COLUMNS, rows, f"{describe_machine()}. {_CAPTION}")
    return Report("dispatch", {**made_with(settings), "ways": rows}, [table])
