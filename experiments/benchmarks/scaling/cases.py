"""A training on so many devices and processes, and its measurement in processes of its own."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import Any, Literal

from experiments.benchmarks.new_process import run_together

_MEASURE = "experiments.benchmarks.scaling.measure"

Platform = Literal["cpu", "accelerator"]
Style = Literal["jit", "pmap"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained, and on what."""

    system: str
    preset: str
    batch: int
    """Sequences of a step, those of all devices together."""
    processes: int = 1
    devices: int = 1
    """Of all processes together; each has as many."""
    styles: tuple[Style, ...] = ("jit",)
    """Measured in the same processes, step by step in turn."""
    steps: int = 20
    """Timed steps of each style."""


def run_case(case: Case, platform: Platform) -> dict[str, Any]:
    """Measure a case in new processes, each of which runs `measure`; returns what the first one has found."""
    coordinator, numbers = f"127.0.0.1:{_free_port()}", range(case.processes)
    arguments = [[json.dumps(asdict(case)), coordinator, str(number)] for number in numbers]
    return run_together(_MEASURE, arguments, [_variables(case, platform, number) for number in numbers])[0]


def environment_of(platform: Platform) -> dict[str, Any]:
    """Return the `environment` that a new process finds: this one leaves the devices to them."""
    return run_together(_MEASURE, [[]], [{"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {}])[0]


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
