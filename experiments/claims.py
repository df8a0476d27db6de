"""Which rows a process runs: those that are not finished and that no other process is running."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from experiments.experiment_folder import ExperimentFolder
from experiments.launching.record import read_record
from experiments.locks import holder, try_lock
from experiments.progress import say
from experiments.rows import Row
from madsep_jax.errors import InputError


def row_groups(rows: Sequence[Row], seeds_together: bool) -> list[list[Row]]:
    """Return the rows that are run one after the other by one process: each by itself, or the seeds of a system."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.system if seeds_together else row.folder_name, []).append(row)
    return list(groups.values())


@contextmanager
def claimed(
    rows: Sequence[Row], folder: ExperimentFolder, console: Console, *, in_job: bool = False
) -> Iterator[list[Row]]:
    """Keep other processes from running the rows that are left to do, and yield these.

    A row that another process is running, or that a job waits to run, is left to it, with a line that says so.

    Args:
        rows: in the order wanted.
        folder: of the experiment.
        console: for these lines.
        in_job: whether this process is itself the job that the rows have been given to.
    """
    with ExitStack() as held:
        left = []
        for row in rows:
            if folder.finished(row):
                continue
            if not held.enter_context(try_lock(_path(row, folder.path))):
                who = running_in(row, folder.path) or "another process"
                say(console, f"{row.folder_name}: is being run by {who} and left to it")
            elif not in_job and (job := _waiting_job(row, folder.path)):
                say(console, f"{row.folder_name}: is given to job {job} and left to it")
            elif not folder.finished(row):  # as it may be by now
                left.append(row)
        yield left


@contextmanager
def claimed_for_all(rows: Sequence[Row], experiment: Path) -> Iterator[None]:
    """Keep others from running rows that several processes train together; to be called by the first of these.

    Raises:
        InputError: where another process is running one of them.
    """
    with ExitStack() as held:
        for row in rows:
            if not held.enter_context(try_lock(_path(row, experiment))):
                who = running_in(row, experiment)
                raise InputError(f"{row.folder(experiment)}: found in use by {who}, expected to be free")
        yield


def running_in(row: Row, experiment: Path) -> str | None:
    """Return the process that is running a row, in words; None where none is."""
    return holder(_path(row, experiment))


def _waiting_job(row: Row, experiment: Path) -> str | None:
    place = row.folder(experiment)
    job = read_record(place)
    return job.job_id if job and job.state(place) != "ended" else None


def _path(row: Row, experiment: Path) -> Path:
    return row.folder(experiment) / "lock"
