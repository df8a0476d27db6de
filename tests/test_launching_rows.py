"""The ablation by jobs of this machine, whole: the same results as of one process, whatever ends in between."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX", "tensorflow"):
    pytest.importorskip(package)
if importlib.util.find_spec("submitit") is None:  # importing it would set up the logging of all
    pytest.skip("submitit is not installed", allow_module_level=True)

from tiny_songs import make_songs

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    make_songs(folder / "songs")
    return folder


def command(shared, out, *systems, more=(), cache="cache", steps=3):
    arguments = ["--data", str(shared / "songs"), "--cache", str(shared / cache), "--out", str(out), "--batch", "2"]
    arguments += [] if "--seeds" in more else ["--seeds", "1"]
    arguments += ["--systems", *systems, "--steps", str(steps), "--processes", "1", *more, "--set"]
    arguments += ["signal.sample_rate=8000", "signal.window_length=257", "signal.hop_length=48"]
    return [sys.executable, "-m", "experiments.ablation", *arguments, "signal.fft_length=512"]


def run(*arguments, **options):
    return subprocess.run(command(*arguments, **options), cwd=ROOT, capture_output=True, text=True, timeout=600)


def scores(out):
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {(row["system"], row["seed"]): (row["status"], row["scores"]) for row in rows}


@pytest.mark.thorough
def test_jobs_give_the_results_of_one_process(shared, tmp_path):
    """With seeds that are trained together, and one row whose loss becomes infinite."""
    systems, rate = ("mad", "dws-1-4"), "training.learning_rate=0.001"
    seeds = ["--seeds", "2", "--vectorize-seeds"]
    alone = run(shared, tmp_path / "alone", *systems, more=[*seeds, f"--set={rate}"])
    assert alone.returncode == 0, alone.stderr
    local = ["--launcher", "local", "--jobs", "2"]
    jobs = run(shared, tmp_path / "jobs", *systems, more=[*seeds, f"--set={rate}", *local])
    assert jobs.returncode == 0, jobs.stderr
    assert scores(tmp_path / "jobs") == scores(tmp_path / "alone")
    assert len(scores(tmp_path / "jobs")) == 6
    diverged = run(shared, tmp_path / "diverged", "dws-0-2", more=["--set=training.learning_rate=1e38", *local])
    assert diverged.returncode == 1, diverged.stderr  # all rows have failed
    assert scores(tmp_path / "diverged")["dws-0-2", 0][0].startswith("failed: loss is ")


@pytest.mark.slow
def test_a_job_that_is_killed_and_a_launcher_that_is_killed(shared, tmp_path):
    """The same command then finishes the experiment; a job outlives its launcher."""
    out, more = tmp_path / "out", ["--launcher", "local"]
    first = subprocess.Popen(command(shared, out, "dws-0-2", more=more, steps=2000), cwd=ROOT, start_new_session=True)
    row = out / "rows" / "dws-0-2-seed0"
    wait_for(lambda: steps(row) >= 5)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = steps(row)
    wait_for(lambda: steps(row) > before)
    process = int((row / "lock").read_text().split()[1])
    plain = run(shared, out, "dws-0-2", steps=2000)
    assert f"dws-0-2-seed0: is being run by process {process} on " in plain.stdout
    assert plain.returncode == 0
    os.kill(process, signal.SIGKILL)
    again = run(shared, out, "dws-0-2", more=more, steps=2000)
    assert again.returncode == 0, again.stdout + again.stderr
    assert scores(out)["dws-0-2", 0][0] == "done"
    assert [json.loads(line)["step"] for line in (row / "train.jsonl").read_text().splitlines()] == [*range(1, 2001)]


@pytest.mark.slow
def test_two_commands_in_one_new_folder(shared, tmp_path):
    """Two plain processes at the same time, and no spectrograms yet: each row is run once, the table has all."""
    out = tmp_path / "out"
    both = [
        subprocess.Popen(command(shared, out, *systems, cache="new"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for systems in (("dws-0-2", "dae", "dws-1-4"), ("dae", "dws-1-4", "mad"))
    ]
    texts = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert "and left to it" in "".join(texts)
    names = {"mixture", "ideal ratio mask", "dws-0-2", "dae", "dws-1-4", "mad"}
    assert {system for system, _ in scores(out)} == names
    for row in out.glob("rows/*-seed0"):
        assert [json.loads(line)["step"] for line in (row / "train.jsonl").read_text().splitlines()] == [1, 2, 3]


def steps(row):
    log = row / "train.jsonl"
    return log.read_bytes().count(b"\n") if log.is_file() else 0


def wait_for(condition):
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
