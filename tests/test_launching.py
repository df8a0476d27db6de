"""Rows as jobs on this machine: by submitit's local executor, with a shell script in place of training and scoring."""

import importlib.util
import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX"):
    pytest.importorskip(package)
if importlib.util.find_spec("submitit") is None:  # importing it would set up the logging of all
    pytest.skip("submitit is not installed", allow_module_level=True)

from fake_jobs import Jobs
from tiny_songs import make_songs

from experiments.jobs import record
from experiments.jobs.executor import LaunchOptions, Shares
from madsep_jax.errors import InputError

ROWS = ["mixture", "ideal-ratio-mask", "mad-seed0", "dae-seed0"]


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture
def jobs(tmp_path, songs, monkeypatch):
    return Jobs(tmp_path, songs, monkeypatch)


def lines(capsys, name):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{name}: ")]


def job_of(jobs, row):
    return json.loads((jobs.out / "rows" / row / "job.json").read_text())


def test_started_twice_and_with_added_rows_it_runs_each_row_once(jobs, capsys):
    jobs.with_references = True
    assert jobs.launch("mad", "dae") == 0
    assert jobs.runs() == ROWS  # one after the other
    assert jobs.table() == ["mixture", "ideal ratio mask", "mad-seed0", "dae-seed0"]
    states = lines(capsys, "mad-seed0")
    assert states[0].startswith("mad-seed0: running (job ")
    assert states[-1] == "mad-seed0: finished"
    assert jobs.launch("mad", "dae") == 0
    assert jobs.runs() == ROWS
    assert jobs.launch("dae", "dae-deep", seeds=2, jobs=2) == 0
    assert sorted(jobs.runs()[4:]) == ["dae-deep-seed0", "dae-deep-seed1", "dae-seed1"]
    assert jobs.table()[2:] == ["mad-seed0", "dae-seed0", "dae-seed1", "dae-deep-seed0", "dae-deep-seed1"]


def test_seeds_that_are_trained_together_are_one_job(jobs):
    assert jobs.launch("dae", seeds=3, together=True) == 0
    ids = {job_of(jobs, f"dae-seed{seed}")["job_id"] for seed in range(3)}
    assert len(ids) == 1
    assert jobs.runs() == ["dae-seed0", "dae-seed1", "dae-seed2"]


def test_a_failed_job_is_reported_and_the_others_go_on(jobs, capsys):
    jobs.behave("mad-seed0", "echo some words; echo 'ablation: no such device'; exit 2")
    assert jobs.launch("mad", "dae") == 1
    *_, line = lines(capsys, "mad-seed0")
    job = job_of(jobs, "mad-seed0")
    how = "ended with exit code 2: ablation: no such device"
    assert line == f"mad-seed0: job {job['job_id']} {how} (log: {job['log']})"
    assert jobs.table() == ["mixture", "ideal ratio mask", "dae-seed0"]
    jobs.behave("mad-seed0", "")
    assert jobs.launch("mad", "dae") == 0  # which tries it again
    assert jobs.runs() == ["mad-seed0", "dae-seed0", "mad-seed0"]


def test_a_killed_job_is_seen_and_started_again_by_the_next_command(jobs, capsys):
    jobs.behave("mad-seed0", "kill -9 $$")
    assert jobs.launch("mad") == 1
    *_, line = lines(capsys, "mad-seed0")
    assert "ended with exit code -9: its log is empty" in line
    jobs.behave("mad-seed0", "kill -9 $PPID; sleep 0.2; kill -9 $$")  # with submitit's process
    assert jobs.launch("mad") == 1
    *_, line = lines(capsys, "mad-seed0")
    assert "was ended from outside" in line
    jobs.behave("mad-seed0", "")
    assert jobs.launch("mad") == 0
    assert jobs.runs() == ["mad-seed0"] * 3


def test_a_job_that_was_stopped_is_followed_by_another(jobs):
    """As a training that got SIGTERM: it has saved, and ends with 0."""
    jobs.behave("mad-seed0", "[ $(grep -c mad-seed0 $FAKE/runs) -ge 3 ] || exit 0")
    assert jobs.launch("mad") == 0
    assert jobs.runs() == ["mad-seed0"] * 3


#: Holds the lock of a row until told to go on, and then finishes the row.
OTHER = """
exec 9>$OUT/rows/mad-seed0/lock
flock 9
touch $FAKE/locked
until [ -f $FAKE/go ]; do sleep 0.02; done
cp $FAKE/results/mad-seed0 $OUT/rows/mad-seed0/row.json
"""


def test_what_another_process_runs_is_left_to_it(jobs):
    jobs.behave("dae-seed0", "sleep 0.2; touch $FAKE/go")
    jobs.prepare("mad", "dae")
    (jobs.out / "rows" / "mad-seed0").mkdir(parents=True)
    with subprocess.Popen(["bash", "-c", OTHER]) as other:
        while not (jobs.folder / "locked").exists():
            time.sleep(0.01)
        assert jobs.launch("mad", "dae", jobs=2) == 0
        assert other.wait() == 0
    assert jobs.runs() == ["dae-seed0"]
    assert jobs.table()[2:] == ["mad-seed0", "dae-seed0"]


def test_two_launchers_submit_a_row_once(jobs):
    jobs.prepare("mad", "dae")
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda systems: jobs.launch(*systems), [("mad", "dae"), ("dae", "mad")]))
    assert codes == [0, 0]
    assert sorted(jobs.runs()) == ["dae-seed0", "mad-seed0"]
    assert sorted(jobs.table()[2:]) == ["dae-seed0", "mad-seed0"]


def test_sigterm_reaches_the_command(jobs):
    """Which may save and end with 0; then the row is given to a new job."""
    save = "trap 'touch $FAKE/saved; exit 0' TERM; kill -TERM $PPID; sleep 5 & wait"
    jobs.behave("mad-seed0", f"[ -f $FAKE/saved ] || {{ {save}; }}")
    assert jobs.launch("mad") == 0
    assert (jobs.folder / "saved").exists()
    assert jobs.runs() == ["mad-seed0"] * 2


def test_an_interrupt_of_the_terminal_does_not_reach_a_job(jobs):
    jobs.behave("dae-seed0", "kill -INT $$; kill -INT $PPID")
    assert jobs.launch("dae") == 0
    assert jobs.runs() == ["dae-seed0"]


def test_an_interrupt_ends_the_jobs_which_save(jobs, monkeypatch, capsys):
    jobs.behave("mad-seed0", "touch $FAKE/started; trap 'touch $FAKE/saved; exit 0' TERM; sleep 20 & wait")
    sleep = time.sleep

    def interrupted(seconds):
        if (jobs.folder / "started").exists() and not jobs_ended:
            jobs_ended.append(True)
            raise KeyboardInterrupt
        sleep(seconds)

    jobs_ended = []
    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jobs.launch("mad")
    assert (jobs.folder / "saved").exists()
    assert "Ending the jobs, which save how far they are." in capsys.readouterr().out
    assert not (jobs.out / "rows" / "mad-seed0" / "row.json").exists()


def test_shares_of_the_machine(monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    shares = Shares(LaunchOptions(launcher="local", jobs=2, job_gpus=2))
    first = shares.free()
    assert (first.variables, first.cores) == ({"CUDA_VISIBLE_DEVICES": "3,5"}, [])
    shares.take(first, "1")
    assert shares.free().variables == {"CUDA_VISIBLE_DEVICES": "6,7"}
    shares.give_back("1")
    assert shares.free() == first
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    one = Shares(LaunchOptions(launcher="local", job_cpus=1)).free()
    assert (one.variables, one.cores) == ({"CUDA_VISIBLE_DEVICES": None}, cores[:1])
    message = f"--job-cpus {len(cores)}: found {len(cores)}, expected {len(cores)} for each of 2 jobs"
    with pytest.raises(InputError, match=message):
        Shares(LaunchOptions(launcher="local", jobs=2, job_cpus=len(cores)))


@pytest.mark.parametrize(
    ("command", "stat", "alive"),
    [
        (b"python\0-m\0submitit.local._local\0", "7 (python) S 1", True),
        (b"", "7 (a ) name) R 1", True),  # on its way to its command line
        (b"", "7 (python) Z 1", False),
        (b"bash\0", "7 (bash) S 1", False),
    ],
)
def test_a_local_job_is_known_by_its_process(tmp_path, monkeypatch, command, stat, alive):
    monkeypatch.setattr(record, "_PROCESSES", tmp_path)
    folder = tmp_path / str(os.getpid())
    folder.mkdir()
    (folder / "cmdline").write_bytes(command)
    (folder / "stat").write_text(stat)
    job = record.JobRecord("local", str(os.getpid()), socket.gethostname(), 0.0, "log", [])
    assert job.state(tmp_path) == ("running" if alive else "ended")
