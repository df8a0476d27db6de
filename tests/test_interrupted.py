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
import time
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tensorboardX")
pytest.importorskip("cyclopts")

from interrupted_worker import STEPS, config_of
from logged import trained

from madsep_jax.checkpoint import load_model, restore_training
from madsep_jax.train import init_state

HERE = Path(__file__).parent


class Process:
    """One request to the worker."""

    def __init__(self, server, folder, case, files):
        self._server, self.files = server, files
        for file in files:
            file.write_text("")
        print(json.dumps([str(folder), case, *map(str, files)]), file=server.stdin, flush=True)
        self.pid = int(server.stdout.readline())

    def wait_for_lines(self, count):
        while self.files[0].read_text().count("\n") < count:
            time.sleep(0.01)

    def finish(self, *codes):
        """The output and the errors of a process that ends with one of some codes."""
        self.code = int(self._server.stdout.readline())
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
        yield lambda place, **case: Process(server, place, case, [folder / "out.txt", folder / "err.txt"])
        server.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder).finish() == ("", "")
    return folder


def last_state(folder):
    """All arrays of the last checkpoint, by name."""
    restored = restore_training(folder / "checkpoint", init_state(config_of({})))
    state = restored.state.replace(dropout_key=jax.random.key_data(restored.state.dropout_key), gradient=None)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def assert_same_training(found, expected):
    assert trained(found) == trained(expected)
    assert logged(found) == list(range(1, STEPS + 1))
    arrays, before = last_state(found), last_state(expected)
    assert arrays[".step"] == STEPS
    assert set(arrays) == set(before)
    for name, array in arrays.items():
        assert array.dtype == before[name].dtype
        assert array.tobytes() == before[name].tobytes(), name


def logged(folder):
    return [json.loads(line)["step"] for line in (folder / "train.jsonl").read_text().splitlines()]


def kept(folder):
    return sorted(int(path.name) for path in (folder / "checkpoint").iterdir() if path.name.isdigit())


def moments(count, seed):
    """After how many steps of a process, and how many seconds later, it is ended: often while it saves."""
    random = np.random.default_rng(seed)
    for number in range(count):
        if number % 5 == 4:
            yield None, float(random.uniform(0, 1.5))  # while it reads its checkpoint, compiles, or begins
        else:
            yield int(random.integers(1, 16)), float(random.uniform(0, 0.05))


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["twice", "twenty times"])
def test_killed_at_any_moment(start, undisturbed, tmp_path, count):
    killed = 0
    for moment in moments(count, seed=count):
        process = start(tmp_path, kill=moment)
        assert process.finish(-signal.SIGKILL, 0) == ("", "")
        killed += process.code != 0
    assert killed == count
    assert start(tmp_path).finish() == ("", "")
    assert_same_training(tmp_path, undisturbed)
    assert not list((tmp_path / "checkpoint").glob("*tmp*"))


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.slow)], ids=["once", "twenty times"])
def test_stopped_by_sigterm_at_any_moment(start, undisturbed, tmp_path, count):
    for moment in moments(count, seed=100 + count):
        if moment[0] is None:
            continue
        before = logged(tmp_path)[-1] if (tmp_path / "train.jsonl").exists() else 0
        out, err = start(tmp_path, kill=moment, signal="SIGTERM", saving={"save_every_steps": 1000}).finish()
        done = logged(tmp_path)[-1]
        assert done > before  # nothing is lost: what is logged is saved
        assert (out, err) == (
            "",
            f"worker: stopped, step {done} of {STEPS} is saved; start the same command again to continue\n",
        )
        assert kept(tmp_path)[-1] == done
    start(tmp_path).finish()
    assert_same_training(tmp_path, undisturbed)


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
    template = init_state(config_of({}))
    restored = restore_training(folder, template, lines.append)
    assert int(restored.state.step) == 196
    assert restored.notes["position"]["epoch"] == 49
    (line,) = lines
    assert line.startswith(f"{folder}: the ")
    assert " of step 200 cannot be read: " in line
    assert line.endswith("; moved to damaged-200, going on from step 196")
    assert "\n" not in line
    assert (folder / "damaged-200").is_dir()
    assert int(restore_training(folder, template).state.step) == 196


def test_a_training_goes_on_from_before_the_damage(start, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "row")
    (folder / "training.json").unlink()
    for step in (200, 196):
        truncate(largest(folder / "checkpoint" / str(step)))
    out, err = start(folder).finish()
    assert out == ""
    assert [line.rsplit("; ", 1)[1] for line in err.splitlines()] == [
        "moved to damaged-200, going on from step 189",
        "moved to damaged-196, going on from step 189",
    ]
    assert_same_training(folder, undisturbed)


def test_all_damaged(start, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "row")
    (folder / "training.json").unlink()
    for step in kept(folder):
        truncate(largest(folder / "checkpoint" / str(step)))
    before = kept(folder)
    err = start(folder).finish(2)[1]
    assert err.startswith(f"worker: {folder}/checkpoint: the ")
    assert " of step 200 cannot be read: " in err
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
    assert kept(undisturbed) == sorted({189, 196, 200, best})
    best_model, latest = (load_model(undisturbed / "checkpoint", which)[1] for which in ("best", "latest"))
    same = jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), best_model, latest))
    assert same == (best == STEPS)


def test_every_kth_is_kept(start, tmp_path):
    start(tmp_path, steps=60, saving={"save_every_steps": 5, "keep_every": 20}).finish()
    assert set(kept(tmp_path)) >= {20, 40, 50, 55, 60}
    assert len(kept(tmp_path)) <= 6


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
