"""Two processes that train together are stopped or killed, started again, and followed by one that goes on alone.

The oracle is the training of one process all along: each step once in the log, losses within a share of 1e-9 (float64).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tensorboardX")
pytest.importorskip("cyclopts")

HERE = Path(__file__).parent
CASE = {"float64": True, "set": {"training.learning_rate": 1e-4}, "saving": {"save_every_steps": 1000}}
LIMIT_S = 300  # for anything that is waited for, on a busy machine
STOP_LIMIT_S = 60


class Training:
    """One process of a training; what it prints goes into files."""

    def __init__(self, folder, environment, name, case):
        self._folder = folder
        self._out, self._err = folder.parent / f"{name}.out", folder.parent / f"{name}.err"
        command = [sys.executable, str(HERE / "interrupted_worker.py"), str(folder), json.dumps({**CASE, **case})]
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)

    def wait_for_steps(self, count):
        until = time.monotonic() + LIMIT_S
        while self._out.read_text().count("\n") < count:
            assert self.process.poll() is None, self._err.read_text()[-3000:]
            assert time.monotonic() < until, f"fewer than {count} steps"
            time.sleep(0.02)

    def errors(self, code=0, limit_s=LIMIT_S):
        """What it has written to stderr once it has ended, with an exit code."""
        self.process.wait(timeout=limit_s)
        errors = self._err.read_text()
        assert self.process.returncode == code, errors[-3000:]
        return errors


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def start(compiled):
    """Start a process; those that a failed test leaves are killed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    started = []

    def start(folder, **case):
        started.append(Training(folder, environment, f"process{len(started)}", case))
        return started[-1]

    yield start
    for training in started:
        training.process.kill()
        training.process.wait()


@pytest.fixture
def start_both(start):
    def start_both(folder, **case):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            processes = {"coordinator": f"127.0.0.1:{listener.getsockname()[1]}", "count": 2}
        return [start(folder, processes={**processes, "number": number}, **case) for number in range(2)]

    return start_both


def lines(folder):
    """Of the log; a killed process may have left half of one at the end."""
    whole, _, _ = (folder / "train.jsonl").read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def assert_goes_on_alone(start, tmp_path, steps):
    """One process ends what two have begun, in the folder "two"; and there is no other result."""
    (tmp_path / "two" / "training.json").unlink()
    for folder in ("two", "one"):
        assert start(tmp_path / folder, steps=steps).errors() == ""
    found, expected = lines(tmp_path / "two"), lines(tmp_path / "one")
    assert [line["step"] for line in found] == list(range(1, steps + 1))
    np.testing.assert_allclose([line["loss"] for line in found], [line["loss"] for line in expected], rtol=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("which", [0, 1])
def test_a_signal_to_one_ends_both_after_the_same_step(start, start_both, tmp_path, which):
    both = start_both(tmp_path / "two", talk=True, steps=20_000)
    both[which].wait_for_steps(5)
    both[which].process.send_signal(signal.SIGTERM)
    errors = [training.errors(limit_s=STOP_LIMIT_S) for training in both]
    done = lines(tmp_path / "two")[-1]["step"]
    stopped = f"worker: stopped, step {done} of 20000 is saved; start the same command again to continue"
    assert [stopped in error for error in errors] == [True, False]
    for training in start_both(tmp_path / "two", steps=done + 10):
        training.errors()
    assert_goes_on_alone(start, tmp_path, done + 20)


@pytest.mark.thorough
def test_both_are_killed_and_started_again(start, start_both, tmp_path):
    saving = {"save_every_steps": 3}
    both = start_both(tmp_path / "two", talk=True, steps=20_000, saving=saving)
    both[0].wait_for_steps(10)
    for training in both:
        training.process.kill()
        training.process.wait(timeout=LIMIT_S)
    steps = lines(tmp_path / "two")[-1]["step"] + 10
    for training in start_both(tmp_path / "two", steps=steps, saving=saving):
        training.errors()
    assert_goes_on_alone(start, tmp_path, steps + 10)
