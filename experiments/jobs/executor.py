"""Hand a command to this machine or to Slurm, by submitit, as the options ask; each job here gets GPUs and cores."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from experiments.cli.options import ManyOrNone, Switch, Whole, option_class, require_at_least
from experiments.jobs.row_command import RowCommand
from madsep_jax.errors import InputError

#: Before the time limit: a training saves within 30 s of being told.
_WARNING_S = 120

#: Jobs of this machine have no time limit, and submitit always gives one: a year.
_NO_LIMIT_MIN = 365 * 24 * 60

#: How often a job that came to its time limit is queued again; each time it has got further.
_MOST_TIMEOUTS = 1000

#: The variable that says how much submitit tells.
_LOG = "SUBMITIT_LOG_LEVEL"

#: What the launcher needs to find a job's log.
_OURS = ("error", "output", "array", "open-mode")


@Parameter(group="Rows as jobs")
@option_class
class LaunchOptions:
    """Where jobs run, and what each of them gets."""

    launcher: Literal["local", "slurm"] | None = None
    """Run each row as a job of its own (with --vectorize-seeds the seeds of a system): local, as processes of this
    machine, or slurm. Default: all rows in this process, one after the other."""

    jobs: Annotated[int | None, Whole] = None
    """Jobs at a time. Default: 1 with --launcher local, all at once with slurm."""

    no_wait: Annotated[bool, Switch] = False
    """End once the jobs are submitted (slurm only); the same command shows later what they have finished."""

    job_gpus: Annotated[int | None, Whole] = None
    """GPUs of its own for each job. Default: local jobs share all there are; Slurm's own."""

    job_cpus: Annotated[int | None, Whole] = None
    """CPU cores of its own for each job. Default: local jobs share all there are; Slurm's own."""

    job_memory: Annotated[int | None, Whole] = None
    """GB of memory for each job (slurm only). Default: Slurm's own."""

    job_minutes: Annotated[int, Whole] = 24 * 60
    """Time limit of a job (slurm only). A row that is not finished by then is saved, and its job queued again."""

    partition: str | None = None
    """Partition of the jobs (slurm only)."""

    account: str | None = None
    """Account of the jobs (slurm only)."""

    slurm: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Other options of sbatch, as NAME=VALUE or NAME: qos=long constraint=a100 exclusive"""

    def __post_init__(self) -> None:
        require_at_least(self, jobs=1, job_gpus=1, job_cpus=1, job_memory=1, job_minutes=1)
        for_slurm = ("no_wait", "job_memory", "partition", "account", "slurm")
        given = [name for name in for_slurm if getattr(self, name)] if self.launcher != "slurm" else []
        if self.launcher is None:
            given += [name for name in ("jobs", "job_gpus", "job_cpus") if getattr(self, name)]
        if given:
            where = "local or slurm" if self.launcher is None and given[0] not in for_slurm else "slurm"
            raise InputError(f"--{given[0].replace('_', '-')}: expected together with --launcher {where}")
        self.sbatch_options()

    def sbatch_options(self) -> dict[str, Any]:
        """Return the options of --slurm: name to value, True for one without a value."""
        found: dict[str, Any] = {}
        for text in self.slurm:
            name, equals, value = text.lstrip("-").partition("=")
            if not name or name in _OURS:
                raise InputError(f"--slurm {text}: expected NAME=VALUE, not one of {', '.join(_OURS)}")
            found[name] = value if equals else True
        return found


def submit(options: LaunchOptions, name: str, folder: Path, command: RowCommand) -> Any:
    """Submit a job; returns submitit's, which has its `job_id` and, in `paths.stdout`, its log.

    What submitit writes, the log among it, goes into the folder.

    Raises:
        InputError: where submitit or Slurm is not there, or Slurm refuses the job.
    """
    submitit = import_submitit()
    within_a_job = "SLURM_JOB_ID" in os.environ  # whose variables are not for the new one
    try:
        with submitit.helpers.clean_env() if within_a_job else nullcontext(), _without_interrupts():
            return _executor(submitit, options, name, folder).submit(command)
    except (RuntimeError, OSError) as error:  # CalledProcessError's text is submitit's
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InputError(f"--launcher {options.launcher}: {name} was not submitted: {reason}") from None


def import_submitit() -> Any:
    """Return the module. Raises InputError where it is not installed."""
    before = os.environ.get(_LOG)
    os.environ[_LOG] = "NOCONFIG"  # else it closes the handlers of all who log
    try:
        import submitit
    except ModuleNotFoundError:
        message = "--launcher: submitit is not installed, expected it: pip install 'madsep-jax[slurm]'"
        raise InputError(message) from None
    finally:
        os.environ.pop(_LOG) if before is None else os.environ.update({_LOG: before})
    logging.getLogger("submitit").setLevel(logging.ERROR)  # it repeats in warnings what is handled here
    return submitit


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C, which reaches all processes of a terminal, from those started here: it is for the launcher.

    They ignore it, for what is only blocked some shells unblock.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may say so
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # one that comes now waits
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _executor(submitit: Any, options: LaunchOptions, name: str, folder: Path) -> Any:
    made: dict[str, Any] = {}
    limits: dict[str, Any] = {"timeout_min": _NO_LIMIT_MIN}
    if options.launcher == "slurm":
        made = {"slurm_max_num_timeout": _MOST_TIMEOUTS}
        limits = {
            "timeout_min": options.job_minutes,
            "mem_gb": options.job_memory,
            "cpus_per_task": options.job_cpus,
            "gpus_per_node": options.job_gpus,
            "slurm_partition": options.partition,
            "slurm_account": options.account,
            "slurm_signal_delay_s": _WARNING_S,
            "slurm_additional_parameters": {"requeue": True, **options.sbatch_options()},
        }
    executor = submitit.AutoExecutor(folder, cluster=options.launcher, **made)
    executor.update_parameters(name=name, stderr_to_stdout=True, **limits)
    return executor


_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """What one job gets."""

    place: int
    variables: dict[str, str | None]
    """Of the environment; None takes one away."""
    cores: list[int]
    """Empty: all."""


class Shares:
    """As many shares as jobs run at a time; for Slurm, which shares out by itself, empty ones."""

    def __init__(self, options: LaunchOptions) -> None:
        """Raises InputError where there are fewer GPUs or cores than the jobs are to have."""
        self._taken: dict[str, int] = {}
        self._shares: list[Share] = []
        if options.launcher != "local":
            return
        jobs, gpus = options.jobs or 1, os.environ.get(_GPUS)
        cores = _parts("--job-cpus", sorted(os.sched_getaffinity(0)), jobs, options.job_cpus or 0)
        if options.job_gpus is None:  # submitit would hide them all
            variables: list[dict[str, str | None]] = [{_GPUS: gpus}] * jobs
        else:
            there = [str(n) for n in range(jobs * options.job_gpus)] if gpus is None else gpus.split(",")
            variables = [{_GPUS: ",".join(part)} for part in _parts("--job-gpus", there, jobs, options.job_gpus)]
        self._shares = [Share(place, variables[place], cores[place]) for place in range(jobs)]

    def free(self) -> Share:
        """Return a share that no job has."""
        taken = self._taken.values()
        return next((share for share in self._shares if share.place not in taken), Share(-1, {}, []))

    def take(self, share: Share, job_id: str) -> None:
        """Note that a job has a share."""
        self._taken[job_id] = share.place

    def give_back(self, job_id: str) -> None:
        """Note that a job has ended."""
        self._taken.pop(job_id, None)


def _parts(name: str, there: list, jobs: int, each: int) -> list[list]:
    if jobs * each > len(there):
        raise InputError(f"{name} {each}: found {len(there)}, expected {each} for each of {jobs} jobs at a time")
    return [there[place * each : (place + 1) * each] for place in range(jobs)]
