"""A training that is killed, stopped or damaged at any moment comes to the very state of one that is left alone.

The oracle is an undisturbed training of the same command: its log, but for what is measured, and all of its last
state, bit for bit.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tensorboardX")
pytest.importorskip("cyclopts")

from interrupted_worker import config_of
from logged import trained

from madsep_jax.checkpoint.folder import load_model, restore_training
from madsep_jax.train.step import init_state

HERE = Path(__file__).parent
STEPS = 40
SHORT = {"system": "gru", "steps": STEPS}
LONG = {"system": "dws", "steps": 600}  # BatchNorm's statistics too, and dropout
LIMIT_S = 300  # for anything that is waited for, on a busy machine


class Process:
    """One request to the worker."""

    def __init__(self, server, folder, case, files):
        self._server, self.files = server, files
        for file in files:
            file.write_text("")
        print(json.dumps([str(folder), case, *map(str, files)]), file=server.stdin, flush=True)
        self.pid = int(server.stdout.readline())

    def wait_for_lines(self, count):
        until = time.monotonic() + LIMIT_S
        while self.files[0].read_text().count("\n") < count:
            assert time.monotonic() < until, self.files[1].read_text()[-3000:]
            time.sleep(0.01)

    def finish(self, *codes):
        """The output and the errors of a process that ends with one of some codes."""
        limit = threading.Timer(LIMIT_S, os.kill, (self.pid, signal.SIGABRT))
        limit.start()
        self.code = int(self._server.stdout.readline())
        limit.cancel()
        out, err = (file.read_text() for file in self.files)
        assert self.code in (codes or (0,)), err[-3000:]
        return out, err


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """What starts the worker on a folder."""
    folder = tmp_path_factory.mktemp("worker")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, str(HERE / "interrupted_worker.py")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        yield lambda place, **case: Process(server, place, {**SHORT, **case}, [folder / "out.txt", folder / "err.txt"])
        server.kill()


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder).finish() == ("", "")
    return folder


@pytest.fixture(scope="module")
def long_undisturbed(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder, **LONG).finish() == ("", "")
    return folder


def last_state(folder, case):
    """All arrays of the last checkpoint, by name."""
    restored = restore_training(folder / "checkpoint", init_state(config_of(case)))
    state = restored.state.replace(dropout_key=jax.random.key_data(restored.state.dropout_key), gradient=None)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def assert_same_training(found, expected, case):
    assert trained(found) == trained(expected)
    assert logged(found) == list(range(1, case["steps"] + 1))
    arrays, before = last_state(found, case), last_state(expected, case)
    assert arrays[".step"] == case["steps"]
    assert set(arrays) == set(before)
    for name, array in arrays.items():
        assert array.dtype == before[name].dtype
        assert array.tobytes() == before[name].tobytes(), name


def logged(folder):
    return [json.loads(line)["step"] for line in (folder / "train.jsonl").read_text().splitlines()]


def kept(folder):
    return sorted(int(path.name) for path in (folder / "checkpoint").glob("*") if path.name.isdigit())


def moments(count, seed, most=15):
    """After how many steps of a process, and how many seconds later, it is ended: often while it saves."""
    random = np.random.default_rng(seed)
    return [(int(random.integers(1, most + 1)), float(random.uniform(0, 0.05))) for _ in range(count)]


def early_moments(count, seed):
    """While it reads its checkpoint, compiles, or begins."""
    random = np.random.default_rng(seed)
    return [(None, float(random.uniform(0, 1.5))) for _ in range(count)]


def kill(start, folder, moments, case):
    """Start it and kill it at each moment."""
    for moment in moments:
        assert start(folder, kill=moment, **case).finish(-signal.SIGKILL) == ("", "")


def stop(start, folder, moments, case):
    """Start it and send SIGTERM at each moment."""
    for moment in moments:
        before = max(kept(folder), default=0)
        never = {"save_every_steps": 1000}
        out, err = start(folder, kill=moment, signal="SIGTERM", saving=never, **case).finish()
        done = logged(folder)[-1]
        assert done > before
        assert (out, err) == (
            "",
            f"worker: stopped, step {done} of {case['steps']} is saved; start the same command again to continue\n",
        )
        assert kept(folder)[-1] == done  # what is logged is saved


def end(start, folder, expected, case):
    assert start(folder, **case).finish() == ("", "")
    assert_same_training(folder, expected, case)
    assert not list((folder / "checkpoint").glob("*tmp*"))


@pytest.mark.thorough
def test_killed_and_stopped(start, undisturbed, tmp_path):
    kill(start, tmp_path, [(10, 0.01)], SHORT)
    stop(start, tmp_path, [(5, 0.01)], SHORT)
    end(start, tmp_path, undisturbed, SHORT)


@pytest.mark.thorough
def test_killed_at_twenty_moments(start, long_undisturbed, tmp_path):
    kill(start, tmp_path, [*moments(16, seed=20), *early_moments(4, seed=21)], LONG)
    end(start, tmp_path, long_undisturbed, LONG)


@pytest.mark.slow
def test_stopped_by_sigterm_at_twenty_moments(start, long_undisturbed, tmp_path):
    stop(start, tmp_path, moments(20, seed=120, most=6), LONG)
    end(start, tmp_path, long_undisturbed, LONG)


@pytest.mark.thorough
def test_interrupt_saves_too_and_a_second_signal_ends_at_once(start, tmp_path):
    """Ctrl-C's own exit code, so that a shell's next command is not run."""
    err = start(tmp_path, kill=(5, 0.0), signal="SIGINT", steps=100_000).finish(130)[1]
    assert err.startswith("worker: stopped, step ")
    process = start(tmp_path, talk=True, steps=100_000, saving={"save_every_steps": 1})
    process.wait_for_lines(1)
    begin = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
    process.finish(-signal.SIGTERM, 0)  # 0: the first one had been done already
    assert time.monotonic() - begin < 30


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def empty(path):
    path.write_bytes(b"")


def largest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, empty, Path.unlink])
def test_the_one_before_a_damaged_checkpoint_is_used(undisturbed, tmp_path, damage):
    folder = shutil.copytree(undisturbed, tmp_path / "row") / "checkpoint"
    damage(largest(folder / str(STEPS)))
    lines = []
    template = init_state(config_of(SHORT))
    restored = restore_training(folder, template, lines.append)
    assert int(restored.state.step) == 35
    assert restored.notes["position"]["epoch"] == 8
    (line,) = lines
    assert line.startswith(f"{folder}: the ")
    assert " of step 40 cannot be read: " in line
    assert line.endswith("; moved to damaged-40, going on from step 35")
    assert "\n" not in line
    assert (folder / "damaged-40").is_dir()
    assert int(restore_training(folder, template).state.step) == 35


@pytest.mark.thorough
def test_a_training_goes_on_from_before_the_damage(start, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "row")
    (folder / "training.json").unlink()
    for step in (40, 35):
        truncate(largest(folder / "checkpoint" / str(step)))
    out, err = start(folder).finish()
    assert out == ""
    assert [line.rsplit("; ", 1)[1] for line in err.splitlines()] == [
        "moved to damaged-40, going on from step 28",
        "moved to damaged-35, going on from step 28",
    ]
    assert_same_training(folder, undisturbed, SHORT)


def test_all_damaged(start, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "row")
    (folder / "training.json").unlink()
    for step in kept(folder):
        truncate(largest(folder / "checkpoint" / str(step)))
    before = kept(folder)
    err = start(folder).finish(2)[1]
    assert err.startswith(f"worker: {folder}/checkpoint: the ")
    assert " of step 40 cannot be read: " in err
    assert err.count("\n") == 1
    assert kept(folder) == before


def test_other_data(start, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "row")
    (folder / "training.json").unlink()
    err = start(folder, set={"training.seed": 1}).finish(2)[1]
    assert err == (
        f"worker: {folder}/checkpoint: was trained on other data or in another order, found seed 0, expected 1\n"
    )


def test_what_is_kept(undisturbed):
    """The last three, saved every 7 steps and at the end, and the one with the least mean loss since the one before."""
    losses = [json.loads(line)["loss"] for line in (undisturbed / "train.jsonl").read_text().splitlines()]
    saves = [*range(7, STEPS, 7), STEPS]
    means = {last: np.mean(losses[first:last]) for first, last in zip([0, *saves], saves, strict=False)}
    best = min(means, key=means.get)
    assert kept(undisturbed) == sorted({28, 35, 40, best})
    best_model, latest = (load_model(undisturbed / "checkpoint", which)[1] for which in ("best", "latest"))
    same = jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), best_model, latest))
    assert same == (best == STEPS)


@pytest.mark.thorough
def test_every_kth_is_kept(start, tmp_path):
    start(tmp_path, steps=60, saving={"save_every_steps": 5, "keep_every": 20}).finish()
    assert set(kept(tmp_path)) >= {20, 40, 50, 55, 60}
    assert len(kept(tmp_path)) <= 6


@pytest.mark.thorough
def test_a_full_disk_ends_the_training_in_one_line(start, tmp_path):
    """No file may grow over a limit, as on a full disk: the write stops half-way. Then the disk has room again."""
    start(tmp_path, kill=(20, 0.0), signal="SIGTERM").finish()
    done = kept(tmp_path)[-1]
    err = start(tmp_path, file_bytes=20_000).finish(2)[1]
    (line,) = (line for line in err.splitlines() if line.startswith("worker: "))
    assert line.startswith(f"worker: {tmp_path}/checkpoint: the checkpoint of step ")
    assert line.endswith(" cannot be written: File too large")
    assert kept(tmp_path)[-1] == done
    start(tmp_path).finish()
