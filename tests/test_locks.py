"""Locks between processes: one has it, the others see who; they end with their process, however that ends."""

import os
import signal
import subprocess
import sys

import pytest

from madsep_jax.host import locks
from madsep_jax.host.locks import holder, lock, try_lock

HOLD = """
import sys, time
from pathlib import Path
from madsep_jax.host.locks import try_lock

with try_lock(Path(sys.argv[1])) as taken:
    print(taken, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.0)


def test_one_has_it_and_the_others_see_who(tmp_path):
    path = tmp_path / "rows" / "mad" / "lock"
    assert holder(path) is None
    with try_lock(path) as taken:
        assert taken
        assert holder(path).startswith(f"process {os.getpid()} on ")
        with try_lock(path) as second:
            assert not second
        assert holder(path) is not None  # it was not the second one's to give back
    assert holder(path) is None
    with lock(path), try_lock(path) as taken:
        assert not taken


def test_a_look_turns_nobody_away(tmp_path, monkeypatch):
    """What `holder` does for a moment: the lock is shared while another process wants it."""
    monkeypatch.setattr(locks, "_PATIENCE_S", 5.0)
    path = tmp_path / "lock"
    path.touch()
    looking = subprocess.Popen(["flock", "--shared", str(path), "sleep", "0.5"])
    while subprocess.call(["flock", "--nonblock", str(path), "true"]) == 0:
        pass
    with try_lock(path) as taken:
        assert taken
    assert looking.wait() == 0


def test_a_killed_process_has_no_lock(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        assert holder(path).startswith(f"process {process.pid} on ")
        with try_lock(path) as taken:
            assert not taken
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert holder(path) is None
    with try_lock(path) as taken:
        assert taken


def test_without_locks_nothing_is_locked(tmp_path, monkeypatch):
    """On a file system that has none."""

    def flock(descriptor, how):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with try_lock(tmp_path / "lock") as taken:
        assert taken
    assert holder(tmp_path / "lock") is None
