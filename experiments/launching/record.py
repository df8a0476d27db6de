"""The job that a row was handed to, written down in the row's folder."""

import dataclasses
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.launching.executor import import_submitit
from experiments.launching.row_command import read_end
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json

_RECORD = "job.json"
#: A job of another machine cannot be looked at, until it holds the lock of its row.
_START_S = 300.0
_ENDED = (
    *("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "REVOKED"),
)
_KNOWN_TO_SACCT = ("PENDING", "RUNNING", "REQUEUED", "COMPLETING", "CONFIGURING", "SUSPENDED", "RESIZING")


@dataclass(frozen=True)
class JobRecord:
    """One job."""

    launcher: str
    job_id: str
    host: str
    """From which it was submitted."""
    submitted: float
    """Seconds since 1970."""
    log: str
    command: list[str]
    """What it runs; could be run by hand."""

    @classmethod
    def of_now(cls, launcher: str, job_id: str, log: Path, command: list[str]) -> "JobRecord":
        """Return the record of a job that has just been submitted here."""
        return cls(launcher, job_id, socket.gethostname(), time.time(), str(log), command)

    def write(self, row_folder: Path) -> None:
        """Write it into the folder of a row."""
        write_json(row_folder / _RECORD, dataclasses.asdict(self))

    def state(self, row_folder: Path) -> str:
        """Return `queued`, `running` or, where nothing more is to come of the job, `ended`."""
        if read_end(row_folder, self.job_id) is not None:
            return "ended"
        if self.launcher == "slurm":
            return slurm_state(self.job_id, Path(self.log).parent)
        if self.host != socket.gethostname():
            return "running" if time.time() - self.submitted < _START_S else "ended"
        return "running" if _is_job_of_submitit(int(self.job_id)) else "ended"

    def last_line(self) -> str:
        """Return the last line that the command has written, or Slurm about it."""
        try:
            lines = Path(self.log).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it has no log"
        starts = [number for number, line in enumerate(lines) if line.startswith("$ cd ")]
        own = lines[starts[-1] + 1 if starts else 0 :]
        after = next((number for number, line in enumerate(own) if line.startswith("submitit ERROR")), len(own))
        return next((line.strip() for line in reversed(own[:after]) if line.strip()), "its log is empty")


def read_record(row_folder: Path) -> JobRecord | None:
    """Return the job that a row was handed to last; None for none."""
    path = row_folder / _RECORD
    if not path.is_file():
        return None
    try:
        return JobRecord(**read_json(path))
    except TypeError:
        raise InputError(f"{path}: is damaged, expected what this command wrote; delete it") from None


def slurm_state(job_id: str, folder: Path) -> str:
    """Ask Slurm: its accounting, and where that knows nothing (yet, or any more), its queue."""
    state = import_submitit().SlurmJob(folder, job_id).state.split()[0].rstrip("+")
    if state not in (*_ENDED, *_KNOWN_TO_SACCT):
        state = _in_queue(job_id) or "ENDED"
    if state in ("PENDING", "REQUEUED", "CONFIGURING", "UNKNOWN"):
        return "queued"
    return "ended" if state in (*_ENDED, "ENDED", "PREEMPTED") else "running"


def _in_queue(job_id: str) -> str | None:
    """Return the state of a job in the queue; None where it is not there; UNKNOWN where Slurm does not answer."""
    try:
        command = ["squeue", "--noheader", "--format=%T", f"--jobs={job_id}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "UNKNOWN"
    if done.returncode and "invalid job id" not in done.stderr.lower():
        return "UNKNOWN"
    return done.stdout.strip() or None


def _is_job_of_submitit(process: int) -> bool:
    """Whether a process of this machine lives and is not another one that has got its number since."""
    try:
        os.kill(process, 0)
        command = Path(f"/proc/{process}/cmdline")
        return b"submitit" in command.read_bytes() if command.exists() else True
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
