"""One folder, several processes: who makes it, and who runs which row."""

import dataclasses
import io
import json
import socket
import subprocess
import sys

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX"):
    pytest.importorskip(package)

from rich.console import Console

from experiments.jobs.record import JobRecord
from experiments.rows.folder import ExperimentFolder, claimed, claimed_for_all, row_groups
from experiments.rows.row import PlannedRow, RowResult
from madsep_jax.config.io import override, to_dict
from madsep_jax.config.presets import preset_config
from madsep_jax.errors import InputError
from madsep_jax.host import locks
from madsep_jax.host.files import read_json, write_new_json

BASE = preset_config("quick")
TRAINED = [PlannedRow.of_system(name, seed, BASE) for name in ("mad", "dae") for seed in range(2)]
ROWS = [PlannedRow("mixture", None), *TRAINED]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.0)
    made = ExperimentFolder.find(tmp_path / "out", BASE, "songs")
    made.create()
    return made


def claim(rows, folder, **options):
    """The rows that are got, and what is said of the others."""
    text = io.StringIO()
    with claimed(rows, folder, Console(file=text), **options) as got:
        return [row.folder_name for row in got], text.getvalue().splitlines()


def test_groups():
    assert row_groups(ROWS, seeds_together=False) == [[row] for row in ROWS]
    assert row_groups(ROWS, seeds_together=True) == [ROWS[:1], ROWS[1:3], ROWS[3:]]


def test_a_row_is_run_by_one_process(folder):
    assert locks.holder(ROWS[1].lock(folder.path)) is None
    with claimed(ROWS[:2], folder, Console(file=io.StringIO())) as got:
        assert got == ROWS[:2]
        names, (line,) = claim(ROWS[1:3], folder)
        assert names == ["mad-seed1"]
        assert line == f"mad-seed0: is being run by {locks.holder(ROWS[1].lock(folder.path))} and left to it"
    assert claim(ROWS[1:3], folder) == (["mad-seed0", "mad-seed1"], [])


def test_a_finished_row_is_not_run(folder):
    folder.finish(ROWS[1], RowResult(system="mad", seed=0, config=to_dict(ROWS[1].config)))
    assert claim(ROWS[1:3], folder) == (["mad-seed1"], [])
    assert folder.results(ROWS)[0].environment["versions"]["jax"]
    assert not (ROWS[1].folder(folder.path) / "lock").exists()


def test_a_row_that_is_finished_while_its_lock_is_taken_is_not_run(folder, monkeypatch):
    answers = iter([None, "finished"])
    monkeypatch.setattr(ExperimentFolder, "finished", lambda self, row: next(answers))
    assert claim(ROWS[1:2], folder) == ([], [])


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_row_that_is_given_to_a_job_is_run_by_the_job(folder, monkeypatch, state):
    monkeypatch.setattr(JobRecord, "state", lambda self, place: state)
    JobRecord("slurm", "7", "login", 0.0, "7.log", ["true"]).write(ROWS[1].folder(folder.path))
    assert claim(ROWS[1:3], folder) == (["mad-seed1"], ["mad-seed0: is given to job 7 and left to it"])
    assert claim(ROWS[1:2], folder, in_job=True) == (["mad-seed0"], [])
    monkeypatch.setattr(JobRecord, "state", lambda self, place: "ended")
    assert claim(ROWS[1:2], folder) == (["mad-seed0"], [])


def test_processes_that_train_together_want_all_rows(folder):
    with claimed_for_all(ROWS[1:3], folder.path):
        assert claim(ROWS[1:4], folder)[0] == ["dae-seed0"]
        with pytest.raises(InputError, match=r"rows/mad-seed1: found in use by process \d+ on .*, expected to be free"):
            claimed_for_all(ROWS[2:], folder.path).__enter__()
    assert claim(ROWS[3:], folder)[0] == ["dae-seed0", "dae-seed1"]


def test_a_folder_that_two_make_is_that_of_the_first(tmp_path):
    out = tmp_path / "out"
    first, same, other = (
        ExperimentFolder.find(out, override(BASE, {"training.steps": steps}), "songs") for steps in (2, 2, 1)
    )
    first.create()
    before = (out / "experiment.json").stat()
    same.create()
    assert (out / "experiment.json").stat() == before
    with pytest.raises(InputError, match=r"holds another experiment, with training\.steps 2, expected 1"):
        other.create()
    assert [path.name for path in out.iterdir()] == ["experiment.json"]


def test_what_killed_processes_have_left_is_cleared(folder):
    """Of the experiment, and of a row with its scores and checkpoints once it is claimed; what others write stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    row = ROWS[1].folder(folder.path)
    places = [folder.path, row, row / "scores", row / "checkpoint"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / f".a.json.{socket.gethostname()}.{gone.pid}.partial").write_text("{")
        (place / ".a.json.elsewhere.77.partial").write_text("{")
    folder.create()
    claim(ROWS[1:2], folder)
    for place in places:
        assert [path.name for path in place.glob(".*.partial")] == [".a.json.elsewhere.77.partial"]


def test_a_folder_that_another_process_is_about_to_make_is_new(tmp_path):
    (tmp_path / ".experiment.json.node1.77.partial").write_text("{")
    assert ExperimentFolder.find(tmp_path, BASE, "songs").is_new


def test_a_new_file_replaces_none(tmp_path, monkeypatch):
    path = tmp_path / "new.json"
    write_new_json(path, {"number": 1})
    write_new_json(path, {"number": 2})
    assert read_json(path) == {"number": 1}

    def link(source, target):
        raise PermissionError("no links on this file system")

    monkeypatch.setattr("os.link", link)
    write_new_json(tmp_path / "other.json", {"number": 3})
    assert json.loads((tmp_path / "other.json").read_text()) == {"number": 3}
    assert {path.name for path in tmp_path.iterdir()} == {"new.json", "other.json"}


def test_results_are_those_of_all_processes(folder):
    for row in (ROWS[3], ROWS[1]):
        folder.finish(row, RowResult(system=row.system, seed=row.seed, config=to_dict(row.config)))
    own = [dataclasses.replace(result, environment=None) for result in folder.results(ROWS[:2])]
    assert [(result.system, result.seed) for result in own] == [("mad", 0), ("dae", 0)]
