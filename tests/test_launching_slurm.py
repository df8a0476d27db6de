"""Rows as Slurm jobs: what is asked of sbatch, and what is made of the answers of squeue and sacct.

Slurm itself is shell scripts that note what they are asked.
"""

import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX"):
    pytest.importorskip(package)
if importlib.util.find_spec("submitit") is None:  # importing it would set up the logging of all
    pytest.skip("submitit is not installed", allow_module_level=True)

from fake_jobs import Jobs
from tiny_songs import make_songs

from experiments.jobs import record
from experiments.jobs.executor import LaunchOptions, import_submitit
from experiments.jobs.record import slurm_state
from madsep_jax.errors import InputError

ROWS = ["mixture", "ideal-ratio-mask", "mad-seed0"]


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture
def jobs(tmp_path, songs, monkeypatch):
    made = Jobs(tmp_path, songs, monkeypatch)
    made.add_slurm(monkeypatch)
    made.with_references = True
    watcher = import_submitit().SlurmJob.watcher
    watcher.clear()
    watcher._registered.clear()
    monkeypatch.setattr(record, "_QUEUE_S", 1e-6)  # ask anew each time
    return made


def submitted(jobs):
    return sorted(path.name for path in (jobs.folder / "sbatch").iterdir())


def test_sbatch_is_asked_for_what_was_given(jobs):
    slurm = ("qos=long", "mail-user=a b", "exclusive", "requeue=no")
    more = {"partition": "gpu", "account": "music", "job_gpus": 2, "job_cpus": 8, "job_memory": 40, "job_minutes": 90}
    assert jobs.launch("mad", launcher="slurm", no_wait=True, slurm=slurm, **more) == 0
    assert submitted(jobs) == ["100", "101", "102"]
    text = (jobs.folder / "sbatch" / "102").read_text()
    asked = {line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH --")}
    folder = jobs.out / "rows" / "mad-seed0" / "jobs"
    assert asked >= {"job-name=madsep-mad-seed0", "partition=gpu", "account=music", "gpus-per-node=2"}
    assert asked >= {"cpus-per-task=8", "mem=40GB", "time=90", "signal=USR2@120", "nodes=1"}
    assert asked >= {"qos=long", "mail-user='a b'", "exclusive", f"output={folder}/%j_0_log.out"}
    assert "-m submitit.core._submit" in text
    record = json.loads((folder.parent / "job.json").read_text())
    assert (record["launcher"], record["job_id"]) == ("slurm", "102")
    assert record["log"] == f"{folder}/102_0_log.out"
    assert record["command"][-1] == "mad-seed0"


def test_a_queued_row_is_not_submitted_again_and_a_lost_one_is(jobs, capsys, monkeypatch):
    assert jobs.launch("mad", launcher="slurm", no_wait=True) == 0
    assert "3 rows are with jobs" in capsys.readouterr().out
    assert jobs.launch("mad", "dae", launcher="slurm", no_wait=True) == 0
    assert submitted(jobs) == ["100", "101", "102", "103"]
    (jobs.folder / "state" / "101").write_text("CANCELLED\n")  # of which squeue knows nothing any more
    assert jobs.launch("mad", "dae", launcher="slurm", no_wait=True) == 0
    assert len(submitted(jobs)) == 4  # nor does it of a job that it has got just now
    monkeypatch.setattr(record, "_START_S", 0.0)
    assert jobs.launch("mad", "dae", launcher="slurm", no_wait=True) == 0
    assert submitted(jobs)[4:] == ["104"]
    assert "--job-name=madsep-ideal-ratio-mask" in (jobs.folder / "sbatch" / "104").read_text()


def test_jobs_at_a_time(jobs):
    assert jobs.launch("mad", launcher="slurm", no_wait=True, jobs=2) == 0
    assert submitted(jobs) == ["100", "101"]


def test_jobs_run_and_are_collected(jobs, monkeypatch, capsys):
    """With sbatch, srun and all; one of them fails."""
    monkeypatch.setenv("RUN_JOBS", "1")
    jobs.behave("mad-seed0", "echo 'ablation: no such device'; exit 2")
    assert jobs.launch("mad", launcher="slurm") == 1
    assert sorted(jobs.runs()) == sorted(ROWS)
    assert jobs.table() == ["mixture", "ideal ratio mask"]
    assert "mad-seed0: job 102 ended with exit code 2: ablation: no such device (log: " in capsys.readouterr().out


def test_at_its_time_limit_a_job_saves_and_is_queued_again(jobs, monkeypatch):
    """The signal comes to submitit's process and, as Slurm sends it to all of a job, to the command as well."""
    monkeypatch.setenv("RUN_JOBS", "1")
    jobs.behave("mad-seed0", "trap 'touch $FAKE/saved; exit 0' TERM; echo $PPID $$ > $FAKE/pids; sleep 20 & wait")
    assert jobs.launch("mad", launcher="slurm", no_wait=True) == 0
    pids = jobs.folder / "pids"
    wait_for(lambda: pids.exists() and pids.read_text().split()[1:])
    for process in reversed(pids.read_text().split()):
        os.kill(int(process), signal.SIGUSR2)
    wait_for((jobs.folder / "scontrol").exists)
    assert (jobs.folder / "saved").exists()
    assert (jobs.folder / "scontrol").read_text() == "requeue 102\n"
    log = jobs.out / "rows" / "mad-seed0" / "jobs" / "102_0_log.out"
    wait_for(lambda: "Exiting gracefully" in log.read_text())
    jobs.behave("mad-seed0", "")
    os.system(f"SLURM_JOB_ID=102 sh {jobs.folder}/bin/run 102")  # as Slurm does with it
    assert jobs.launch("mad", launcher="slurm") == 0
    assert sorted(jobs.runs()) == sorted([*ROWS, "mad-seed0"])


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("accounting", "queue", "expected"),
    [
        ("RUNNING", None, "running"),
        ("PENDING", None, "queued"),
        ("COMPLETED", None, "ended"),
        ("CANCELLED by 1000", "PENDING", "ended"),
        ("OUT_OF_MEMORY", None, "ended"),
        (None, "PENDING", "queued"),
        (None, "RUNNING", "running"),
        (None, None, None),
        ("PREEMPTED", "PENDING", "queued"),
        ("PREEMPTED", None, "ended"),
    ],
)
def test_states(jobs, accounting, queue, expected):
    if accounting:
        (jobs.folder / "accounting" / "7").write_text(accounting)
    if queue:
        (jobs.folder / "state" / "7").write_text(queue)
    assert slurm_state("7", jobs.folder) == expected


def test_where_slurm_does_not_answer_a_job_is_taken_to_be_queued(jobs):
    for name in ("sacct", "squeue"):
        (jobs.folder / "bin" / name).write_text("#!/bin/sh\necho 'connection refused' >&2; exit 1\n")
    assert slurm_state("7", jobs.folder) == "queued"


def test_without_slurm(jobs, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r'^--launcher slurm: madsep-mixture was not submitted: .*"srun"'):
        jobs.launch("mad", launcher="slurm")


def test_refused_by_sbatch(jobs):
    text = "#!/bin/sh\necho 'sbatch: error: Batch job submission failed: Invalid partition specified' >&2; exit 1\n"
    (jobs.folder / "bin" / "sbatch").write_text(text)
    with pytest.raises(InputError, match=r"madsep-mixture was not submitted: sbatch: error: .* partition specified$"):
        jobs.launch("mad", launcher="slurm", partition="gup")
    assert not Path(jobs.out, "rows", "mixture", "job.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 2}, "--jobs: expected together with --launcher local or slurm"),
        ({"launcher": "local", "partition": "gpu"}, "--partition: expected together with --launcher slurm"),
        ({"launcher": "local", "no_wait": True}, "--no-wait: expected together with --launcher slurm"),
        ({"launcher": "slurm", "job_gpus": 0}, "--job-gpus: found 0, expected at least 1"),
        (
            {"launcher": "slurm", "slurm": ("output=x",)},
            "--slurm output=x: expected NAME=VALUE, not",
        ),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        LaunchOptions(**options)
