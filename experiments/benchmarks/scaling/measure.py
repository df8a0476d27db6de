"""Measure one case in this process; `experiments.benchmarks.scaling.cases` starts it.

Arguments: the case as JSON, the file for the result, the coordinator's HOST:PORT, and the number of this process. The
result has the environment and, for each style, the seconds of each step and of compiling, and the first step's loss.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks.case import Case as TrainCase
from experiments.benchmarks.case import make_batch
from experiments.benchmarks.scaling.cases import Case, Style
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.presets import preset_config
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import environment
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import is_first_process, join_processes, process_shard
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
        self._state = layout.place_state(init_state(one.config))
        self._batch = layout.place_batch(_own_part(make_batch(one.config, one.dtype)))
        with without_compilation_cache():
            start = time.perf_counter()
            self._call, _ = compile_layout(layout, self._state, self._batch)
            self.loss = self._step()  # which pmap of several processes is compiled by
            self.compile_s = time.perf_counter() - start
        self.step_s: list[float] = []

    def run(self) -> None:
        """Time a step."""
        start = time.perf_counter()
        self._step()
        self.step_s.append(time.perf_counter() - start)

    def _step(self) -> float:
        self._state, metrics = jax.block_until_ready(self._call(self._state, self._batch))
        return float(metrics["loss"])


def measure(case: Case) -> dict[str, Any]:
    """Train in all styles of a case, step by step in turn."""
    trainings = {style: StyledTraining(case, style) for style in case.styles}
    for number in range(_UNTIMED_STEPS + case.steps):
        for training in trainings.values():
            training.run()
            if number < _UNTIMED_STEPS:
                training.step_s.clear()
    found = {
        style: {"step_s": training.step_s, "compile_s": training.compile_s, "loss": training.loss}
        for style, training in trainings.items()
    }
    return {"environment": environment(), "styles": found}


def _own_part(batch: Batch) -> Batch:
    """Return this process's sequences."""
    number, count = process_shard()
    return jax.tree.map(lambda array: array[number * len(array) // count : (number + 1) * len(array) // count], batch)


def main(case: Case, result: Path, coordinator: str, number: int) -> None:
    """Measure, and let the first process write the result."""
    if case.processes > 1:
        join_processes(ProcessesConfig(coordinator=coordinator, count=case.processes, number=number))
    measured = measure(case)
    if is_first_process():
        result.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main(Case(**json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
