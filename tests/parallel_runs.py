"""Trainings in processes of their own, with so many devices each, and whether they are the same.

CPU devices are made of one processor by XLA's flag, which a process has to be started with.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def case(style="jit", devices=None, system="dws", **more):
    """What `data_parallel_worker.train` runs; devices are those of each process, None for all it has."""
    return {"system": system, "parallel": {"style": style, "devices": devices, **more.pop("parallel", {})}, **more}


def start(cases, path, devices, dtype, processes=None, environment=None):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
        "JAX_ENABLE_X64": str(int(dtype == "float64")),
        "JAX_PLATFORMS": "cpu",
        **(environment or {}),
    }
    cases = {name: {**case, "dtype": dtype} for name, case in cases.items()}
    argument = json.dumps({"cases": cases, "processes": processes or {}})
    command = [sys.executable, str(HERE / "data_parallel_worker.py"), argument, str(path)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output[-3000:]


def run_cases(cases, path, dtype, devices=8):
    """Run all in one process; returns by case, then by name, the losses and all of the state after the last step."""
    finish(start(cases, path, devices, dtype))
    return arrays_of(path)


def run_in_two_processes(cases, folder, dtype, devices_each, starts=None):
    """Run them in two processes that train together; returns the arrays of both.

    `starts` has the flags and the environment of each process, where it is not told a coordinator.
    """
    coordinator = f"127.0.0.1:{free_port()}"
    starts = starts or [({"coordinator": coordinator, "count": 2, "number": number}, {}) for number in range(2)]
    paths = [folder / f"{number}.npz" for number in range(2)]
    running = [
        start(cases, path, devices_each, dtype, flags, environment)
        for path, (flags, environment) in zip(paths, starts, strict=True)
    ]
    for process in running:
        finish(process)
    return [arrays_of(path) for path in paths]


def arrays_of(path):
    found = {}
    with np.load(path) as arrays:
        for key in arrays:
            case, _, name = key.partition("|")
            found.setdefault(case, {})[name] = arrays[key]
    return found


def free_port(of=range(1)):
    """A port that nothing listens at: any, or the first free one of a range."""
    for port in of:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise AssertionError(f"no free port in {of}")


def assert_same_training(found, expected, tolerance):
    """Losses within a share of each, every array of parameters and statistics within one of its largest value."""
    assert set(found) == set(expected)
    columns = slice(0, 1)  # the loss; its parts and the gradient's norm have no tolerance stated
    np.testing.assert_allclose(found["losses"][:, columns], expected["losses"][:, columns], rtol=tolerance)
    for name in expected:
        if name.startswith((".params", ".batch_stats")):
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance * scale, err_msg=name)
    assert found[".step"] == expected[".step"]
