"""A case of `experiments.scaling`, measured in processes of its own."""

import os
import socket
from dataclasses import asdict
from typing import Any

import jax

from experiments.benchmarks.case import Case as TrainCase
from experiments.benchmarks.case import Runs, make_batch
from experiments.benchmarks.new_process import run_together
from experiments.benchmarks.rounds import in_turn, timed
from experiments.benchmarks.scaling.options import Case, Platform, Style
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import environment
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import join_processes, process_shard
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state

_UNTIMED_STEPS = 2


def run_case(case: Case, platform: Platform) -> dict[str, Any]:
    """Measure a case in new processes, each of which runs `measure`; returns what the first one has found."""
    about, numbers = {"case": asdict(case), "coordinator": f"127.0.0.1:{_free_port()}"}, range(case.processes)
    variables = [_variables(case, platform, number) for number in numbers]
    return run_together(measure, [{**about, "number": number} for number in numbers], variables)[0]


def environment_of(platform: Platform) -> dict[str, Any]:
    """Return the `environment` that a new process finds: this one leaves the devices to them."""
    return run_together(environment, [{}], [{"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {}])[0]


def _variables(case: Case, platform: Platform, number: int) -> dict[str, str]:
    """A CPU is made into as many devices as the case has; of accelerators, each process sees its own."""
    own = case.devices // case.processes
    if platform == "cpu":
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={own}"
        return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}
    return {"CUDA_VISIBLE_DEVICES": ",".join(str(device) for device in range(number * own, (number + 1) * own))}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def measure(case: dict[str, Any], coordinator: str, number: int) -> dict[str, Any]:
    """Train in all styles of a case in this process and those that belong to it, step by step in turn.

    Args:
        case: the fields of a `Case`.
        coordinator: HOST:PORT at which the processes meet.
        number: of this process.

    Returns:
        The environment and, for each style, the seconds of each step and of compiling, and the first step's loss.
    """
    asked = Case(**case)
    if asked.processes > 1:
        join_processes(ProcessesConfig(coordinator=coordinator, count=asked.processes, number=number))
    trainings = {style: StyledTraining(asked, style) for style in asked.styles}
    step_s = in_turn(trainings, _UNTIMED_STEPS + asked.steps, lambda style: timed(trainings[style].step)[1])
    styles = {
        style: {"step_s": step_s[style][_UNTIMED_STEPS:], "compile_s": training.compile_s, "loss": training.loss}
        for style, training in trainings.items()
    }
    return {"environment": environment(), "styles": styles}


class StyledTraining:
    """The training of a case in one style, each step waited for."""

    def __init__(self, case: Case, style: Style) -> None:
        """Compile it."""
        one = TrainCase.of(case.system, "train", case.batch, None, case.preset)
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


def _own_part(batch: Batch) -> Batch:
    """Return this process's sequences."""
    number, count = process_shard()
    return jax.tree.map(lambda array: array[number * len(array) // count : (number + 1) * len(array) // count], batch)
