"""A training on so many devices and processes, and its measurement in processes of its own."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

_MEASURE = "experiments.benchmarks.scaling.measure"

_PROJECT = Path(__file__).parents[3]

_LIMIT_S = 3600

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
    """Measure a case in new processes, each of which runs `measure`; returns what the first one has written.

    Raises:
        RuntimeError: where a process fails, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="madsep-scaling-") as folder:
        result, coordinator = Path(folder) / "result.json", f"127.0.0.1:{_free_port()}"
        running = [
            subprocess.Popen(
                [sys.executable, "-m", _MEASURE, json.dumps(asdict(case)), str(result), coordinator, str(number)],
                env=_environment(case, platform, number),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number in range(case.processes)
        ]
        try:
            said = [process.communicate(timeout=_LIMIT_S)[0] for process in running]
        finally:
            for process in running:
                process.kill()
        for process, text in zip(running, said, strict=True):
            if process.returncode:
                raise RuntimeError(f"{case} failed in its process:\n{text}")
        return json.loads(result.read_text(encoding="utf-8"))


def environment_of(platform: Platform) -> dict[str, Any]:
    """Return the `environment` that a new process finds: this one leaves the devices to them."""
    code = "import json; from madsep_jax.host.environment import environment; print(json.dumps(environment()))"
    variables = {"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {}
    started = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": _path(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode:
        raise RuntimeError(f"JAX finds no devices:\n{started.stderr}")
    return json.loads(started.stdout)


def _environment(case: Case, platform: Platform, number: int) -> dict[str, str]:
    """A CPU is made into as many devices as the case has; of accelerators, each process sees its own."""
    own = case.devices // case.processes
    if platform == "cpu":
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={own}"
        return {**os.environ, "PYTHONPATH": _path(), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}
    visible = ",".join(str(device) for device in range(number * own, (number + 1) * own))
    return {**os.environ, "PYTHONPATH": _path(), "CUDA_VISIBLE_DEVICES": visible}


def _path() -> str:
    return os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
