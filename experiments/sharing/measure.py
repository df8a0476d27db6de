"""Measure one case in this process; `experiments.sharing.cases` starts it.

Arguments: the case as JSON, the file for the result, the coordinator's HOST:PORT, and the number of this process.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.sharing.cases import Case
from experiments.systems import fields_of
from madsep_jax.config import ParallelConfig, ProcessesConfig, RunConfig
from madsep_jax.config_io import override
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import is_first_process, join_processes, process_shard
from madsep_jax.parallel.program import Program, group_steps, stack_batches, stack_states
from madsep_jax.presets import preset_config
from madsep_jax.train import Batch, init_state

_UNTIMED_CALLS = 2


def measure(case: Case) -> dict[str, Any]:
    """Train for the case's steps on one batch, waiting for each call."""
    base = override(preset_config(case.preset), {"training.batch_size": case.batch})
    config = override(base, fields_of(case.system, base))
    program = Program(case.steps_per_call, case.seeds if case.seeds > 1 else None)
    layout = make_layout(config, ParallelConfig(style=case.style, steps_per_call=case.steps_per_call), program)
    states = [init_state(override(config, {"training.seed": seed})) for seed in range(case.seeds)]
    state = layout.place_state(stack_states(states) if case.seeds > 1 else states[0])
    one = _batch(config)
    one = stack_batches([one] * case.seeds) if case.seeds > 1 else one
    batch = layout.place_batch(next(group_steps([one] * case.steps_per_call, case.steps_per_call)))
    call, compile_s = compile_layout(layout, state, batch)
    seconds, losses = [], []
    for _ in range(_UNTIMED_CALLS + max(case.steps // case.steps_per_call, 1)):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(call(state, batch))
        seconds.append((time.perf_counter() - start) / (case.steps_per_call * case.seeds))
        losses.append(float(np.ravel(jax.device_get(metrics["loss"]))[0]))
    return {"step_s": statistics.median(seconds[_UNTIMED_CALLS:]), "compile_s": compile_s, "loss": losses[0]}


def _batch(config: RunConfig) -> Batch:
    """Return this process's sequences of a batch of noise."""
    size, sequences, bins = config.training.batch_size, config.sequences, config.signal.bins
    number, count = process_shard()
    rows = slice(number * size // count, (number + 1) * size // count)
    mix_BSF = np.random.default_rng(0).gamma(0.5, 1.0, (size, sequences.frames, bins)).astype(np.float32)
    voice_BTF = 0.5 * mix_BSF[:, sequences.context : sequences.context + sequences.target_frames]
    return Batch(mix_BSF[rows], voice_BTF[rows])


def main(case: Case, result: Path, coordinator: str, number: int) -> None:
    """Measure, and let the first process write the result."""
    if case.processes > 1:
        join_processes(ProcessesConfig(coordinator=coordinator, count=case.processes, number=number))
    measured = measure(case)
    if is_first_process():
        result.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main(Case(**json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
