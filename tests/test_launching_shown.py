"""What is seen of rows that jobs run."""

import io
import json
import sys

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX"):
    pytest.importorskip(package)

from fake_jobs import Jobs
from rich.console import Console
from tiny_songs import make_songs

from experiments.jobs.executor import LaunchOptions
from experiments.jobs.record import JobRecord
from experiments.rows.folder import RowState
from experiments.rows.launch import command_of_job
from experiments.rows.live import LiveRows
from experiments.rows.options import AblationOptions, RunOptions
from experiments.rows.progress import Progress, progress_of

JOB = JobRecord("slurm", "7", "login", 0.0, "7.log", ["true"])


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture
def plan(tmp_path, songs, monkeypatch):
    return Jobs(tmp_path, songs, monkeypatch).prepare("mad")[0]


def test_the_command_of_a_job_is_that_of_the_launcher_for_some_rows():
    launch = LaunchOptions(launcher="slurm", partition="gpu")
    command = command_of_job(AblationOptions(systems=("mad",), run=RunOptions(steps=3), launch=launch), ("mad-seed0",))
    assert command[:3] == [sys.executable, "-m", "experiments.ablation"]
    assert command[3:] == ["--systems=mad", "--steps=3", "--only-rows=mad-seed0"]


def test_how_far_a_row_is(plan):
    row = plan.rows[-1]
    place = row.folder(plan.out)
    assert progress_of(row, plan) is None
    place.mkdir(parents=True)
    lines = [json.dumps({"step": step, "loss": 0.5, "step_s": 0.1}) for step in range(1, 301)]
    (place / "train.jsonl").write_text(
        "\n".join(lines) + '\n{"step": 30'
    )  # more than is read, the last line unfinished
    found = progress_of(row, plan)
    assert found == Progress("training", 300, 600, loss=0.5, each_s=0.1)
    assert found.left_s == pytest.approx(30)
    assert found.line() == "training, 300 of 600 steps, loss 0.5, 30 s left"
    (place / "training.json").write_text("{}")
    assert progress_of(row, plan) == Progress("scoring", 0, 2)
    (place / "scores").mkdir()
    (place / "scores" / "a.json").write_text("{}")
    assert progress_of(row, plan) == Progress("scoring", 1, 2)
    assert progress_of(row, plan).line() == "scoring, 1 of 2 songs"


def shown(plan, console, *kinds):
    states = dict(zip((row.folder_name for row in plan.rows), kinds, strict=True))
    with LiveRows(console, plan) as rows:
        rows.show(states)
        rows.show(states)
    return console.file.getvalue()


def test_lines_where_there_is_no_terminal(plan):
    running = RowState("running", job=JOB, runs_in="job 7")
    text = shown(
        plan, Console(file=io.StringIO()), RowState("queued", job=JOB, runs_in="job 6"), RowState("new"), running
    )
    assert text.splitlines() == ["mixture: queued (job 6)", "mad-seed0: running (job 7)"]


def test_a_table_in_a_terminal(plan):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    text = shown(plan, console, RowState("new"), RowState("ended", job=JOB, runs_in="job 6"), RowState("running"))
    for part in ("mixture", "waits", "ended (job 6)", "mad-seed0", "3 rows: 0 finished, 1 ended, 1 running, 1 waits"):
        assert part in text


LOG = """submitit INFO (2026-01-01) - Starting
$ cd /somewhere && python -m experiments.ablation
first try
$ cd /somewhere && python -m experiments.ablation
cpu: 1 × cpu
ablation: no such device

submitit ERROR (2026-01-01) - Submitted job triggered an exception
Traceback (most recent call last):
RuntimeError: the command ended with exit code 2
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LOG, "ablation: no such device"),
        (LOG + "$ cd /somewhere && python\n", "its log is empty"),
        ("slurmstepd: error: Detected 1 oom_kill event\n", "slurmstepd: error: Detected 1 oom_kill event"),
        (None, "it has no log"),
    ],
)
def test_the_last_line_of_a_log_is_the_commands(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "log").write_text(text)
    assert JobRecord("local", "1", "here", 0.0, str(tmp_path / "log"), []).last_line() == expected
