"""The job that a row was handed to, written down in the row's folder."""

import dataclasses
import functools
import getpass
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.cli.results import read_as
from experiments.jobs.executor import import_submitit
from experiments.jobs.row_command import read_end
from madsep_jax.host.files import write_json

_RECORD = "job.json"

#: Within this time Slurm, or a job of another machine by holding the lock of its row, shows that there is such a job.
_START_S = 300.0

#: Slurm is asked for all jobs at once, and no more often than this.
_QUEUE_S = 15.0
_PROCESSES = Path("/proc")
_FAILED = ("FAILED", "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "REVOKED")
_ENDED = ("COMPLETED", *_FAILED)
_KNOWN_TO_SACCT = ("PENDING", "RUNNING", "REQUEUED", "COMPLETING", "CONFIGURING", "SUSPENDED", "RESIZING")
JobState = Literal["queued", "running", "ended"]


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

    def write(self, row_folder: Path) -> None:
        """Write it into the folder of a row."""
        write_json(row_folder / _RECORD, dataclasses.asdict(self))

    def state(self, row_folder: Path) -> JobState:
        """Return `queued`, `running` or, where nothing more is to come of the job, `ended`."""
        if read_end(row_folder, self.job_id) is not None:
            return "ended"
        if self.launcher == "slurm":
            state = slurm_state(self.job_id, Path(self.log).parent)
            return state or ("queued" if self._is_young() else "ended")
        if self.host != socket.gethostname():
            return "running" if self._is_young() else "ended"
        return "running" if _is_job_of_submitit(int(self.job_id)) else "ended"

    def _is_young(self) -> bool:
        return time.time() - self.submitted < _START_S

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
    return read_as(JobRecord, row_folder / _RECORD, "delete it")


def slurm_state(job_id: str, folder: Path) -> JobState | None:
    """Ask Slurm: its accounting, and where that knows nothing (yet, or any more), its queue.

    Returns `queued`, also where Slurm does not answer; `running`; `ended`; or None where it knows no such job.
    """
    state = import_submitit().SlurmJob(folder, job_id).state.split()[0].rstrip("+")
    if state not in (*_ENDED, *_KNOWN_TO_SACCT):
        queue = _queue(time.monotonic() // _QUEUE_S)
        if queue is not None and job_id not in queue:
            return "ended" if state == "PREEMPTED" else None
        state = queue[job_id] if queue else "PENDING"
    if state in ("PENDING", "REQUEUED", "CONFIGURING"):
        return "queued"
    return "ended" if state in _ENDED else "running"


@functools.lru_cache(maxsize=1)
def _queue(moment: float) -> dict[str, str] | None:
    """Return the states of the user's jobs in the queue; None where Slurm does not answer."""
    command = ["squeue", "--noheader", "--format=%i %T", f"--user={getpass.getuser()}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = (line.split() for line in done.stdout.splitlines())
    return {parts[0]: parts[1] for parts in found if len(parts) == 2}


def _is_job_of_submitit(process: int) -> bool:
    """Whether a process of this machine lives and is not another one that has got its number since.

    One that has just been started has no command line for a moment, as one that has ended and is not yet waited for.
    """
    entry = _PROCESSES / str(process)
    try:
        os.kill(process, 0)
        if not entry.exists():  # a system without such files
            return True
        command = (entry / "cmdline").read_bytes()
        state = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        return b"submitit" in command if command else state != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
