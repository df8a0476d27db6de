"""Two processes that train together end after the same step, where one of them gets a signal; one goes on alone.

The oracle is the training of one process all along, within a share of 1e-4 (float32; how sums are ordered differs).
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tensorboardX")

HERE = Path(__file__).parent
CASE = {"set": {"training.learning_rate": 1e-4}, "saving": {"save_every_steps": 1000}}


def start(folder, **case):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(HERE / "interrupted_worker.py"), str(folder), json.dumps({**CASE, **case})]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_both(folder, **case):
    processes = {"coordinator": f"127.0.0.1:{free_port()}", "count": 2}
    return [start(folder, processes={**processes, "number": number}, **case) for number in range(2)]


def lines(folder):
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_a_signal_to_one_ends_both_after_the_same_step(tmp_path, which):
    both = start_both(tmp_path / "two", talk=True, steps=20_000)
    for _ in range(5):
        both[which].stdout.readline()
    both[which].send_signal(signal.SIGTERM)
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    done = lines(tmp_path / "two")[-1]["step"]
    stopped = f"worker: stopped, step {done} of 20000 is saved; start the same command again to continue"
    assert [stopped in error for error in errors] == [True, False]
    again = start_both(tmp_path / "two", steps=done + 10)
    errors = [process.communicate(timeout=60)[1] for process in again]
    assert [process.returncode for process in again] == [0, 0], errors
    (tmp_path / "two" / "training.json").unlink()
    for folder in ("two", "one"):
        process = start(tmp_path / folder, steps=done + 20)
        assert process.communicate(timeout=120)[1] == ""
        assert process.returncode == 0
    found, expected = lines(tmp_path / "two"), lines(tmp_path / "one")
    assert [line["step"] for line in found] == list(range(1, done + 21))
    np.testing.assert_allclose([line["loss"] for line in found], [line["loss"] for line in expected], rtol=1e-4)
