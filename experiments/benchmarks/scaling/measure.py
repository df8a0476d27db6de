"""Measure one case in this process; `experiments.benchmarks.scaling.cases` starts it.

Arguments: the case as JSON, the coordinator's HOST:PORT, and the number of this process. It prints, as JSON, the
environment and, for each style, the seconds of each step and of compiling, and the first step's loss; without arguments
the environment alone.
"""

import json
import sys
from typing import Any

import jax

from experiments.benchmarks.case import Case as TrainCase
from experiments.benchmarks.case import Runs, make_batch
from experiments.benchmarks.rounds import in_turn, timed
from experiments.benchmarks.scaling.cases import Case, Style
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.presets import preset_config
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import environment
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import join_processes, process_shard
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state

_UNTIMED_STEPS = 2


class StyledTraining:
    """The training of a case in one style, each step waited for."""

    def __init__(self, case: Case, style: Style) -> None:
        """Compile it."""
        frames = preset_config(case.preset).sequences.frames
        one = TrainCase.of(case.system, "train", case.batch, frames, case.preset)
        layout = make_layout(one.config, ParallelConfig(style=style))
        state = layout.place_state(init_state(one.config))
        batch = layout.place_batch(_own_part(make_batch(one.config, one.dtype)))

        def compile_and_step() -> float:
            call, _ = compile_layout(layout, state, batch)
            self._runs = Runs(call, (state, batch), trains=True)
            return self.step()  # which pmap of several processes is compiled by

        with without_compilation_cache():
            self.loss, self.compile_s = timed(compile_and_step)

    def step(self) -> float:
        """Do a step; returns its loss."""
        _, metrics = self._runs.run()
        return float(metrics["loss"])


def measure(case: Case) -> dict[str, Any]:
    """Train in all styles of a case, step by step in turn."""
    trainings = {style: StyledTraining(case, style) for style in case.styles}
    step_s = in_turn(trainings, _UNTIMED_STEPS + case.steps, lambda style: timed(trainings[style].step)[1])
    return {
        style: {"step_s": step_s[style][_UNTIMED_STEPS:], "compile_s": training.compile_s, "loss": training.loss}
        for style, training in trainings.items()
    }


def _own_part(batch: Batch) -> Batch:
    """Return this process's sequences."""
    number, count = process_shard()
    return jax.tree.map(lambda array: array[number * len(array) // count : (number + 1) * len(array) // count], batch)


def main(content: str, coordinator: str, number: str) -> dict[str, Any]:
    """Measure, together with the other processes."""
    case = Case(**json.loads(content))
    if case.processes > 1:
        join_processes(ProcessesConfig(coordinator=coordinator, count=case.processes, number=int(number)))
    styles = measure(case)
    return {"environment": environment(), "styles": styles}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]) if sys.argv[1:] else environment()))
