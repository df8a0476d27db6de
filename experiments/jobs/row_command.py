"""What a job does: run a command that could be run by hand, pass on what the cluster wants of it, note how it ended.

The job is handed texts only. It imports nothing but the standard library, so that it costs next to nothing beside the
command.
"""

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

_END = "job_end.json"
_POLL_S = 0.2


@dataclass
class RowCommand:
    """Runs the command in a process of its own. Submitit calls it within the job."""

    command: list[str]
    directory: str
    """Where the command is run."""
    row_folders: list[str]
    """Where it is noted how the command ended."""
    variables: dict[str, str | None]
    """Of the environment, beside those of the job; None takes one away."""
    cores: list[int]
    """CPU cores that the command may use; none: all."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _terminated: bool = field(default=False, init=False)

    def __call__(self) -> None:
        """Run the command to its end. Raises RuntimeError, for the cluster to see, where its exit code is not 0."""
        from submitit import JobEnvironment

        job = JobEnvironment().job_id
        for folder in self.row_folders:
            (Path(folder) / _END).unlink(missing_ok=True)
        print(f"$ cd {shlex.quote(self.directory)} && {shlex.join(self.command)}", flush=True)
        signal.signal(signal.SIGTERM, self._terminate)
        process = self._start()
        if self._terminated:
            process.terminate()
        try:
            # `wait` would hold a lock that `checkpoint`, which interrupts it, needs.
            while process.poll() is None:
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.terminate()
        code = process.returncode
        for folder in self.row_folders:
            write_end(Path(folder), job, code)
        if code:
            raise RuntimeError(f"the command ended with exit code {code}")

    def checkpoint(self) -> Any:
        """End the command, which saves, and return what is to be run in its place. For when the job has to make way."""
        from submitit.helpers import DelayedSubmission

        if self._process:
            self._process.terminate()
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(dataclasses.replace(self))

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **{name: value for name, value in self.variables.items() if value is not None}}
        for name in [name for name, value in self.variables.items() if value is None]:
            environment.pop(name, None)
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        # Slurm sends the warning of the time limit to all processes; here it is for submitit, which calls `checkpoint`,
        # and waits until there is a command to end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

        def ignore_warning() -> None:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

        try:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                preexec_fn=ignore_warning,  # this process has one thread
            )
            return self._process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True
        if self._process:
            self._process.terminate()


def write_end(row_folder: Path, job: str, exit_code: int) -> None:
    """Note how the command of a job ended; negative: the number of the signal that ended it."""
    path = row_folder / _END
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    aside.write_text(json.dumps({"job_id": job, "exit_code": exit_code}), encoding="utf-8")
    aside.replace(path)


def read_end(row_folder: Path, job: str) -> int | None:
    """Return the exit code of a job's command; None where it has not ended, or was killed with all of its job."""
    try:
        found = json.loads((row_folder / _END).read_text(encoding="utf-8"))
        return int(found["exit_code"]) if found["job_id"] == job else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
