"""The folder of one experiment: its finished rows, which rows each process takes, and the state of each."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from experiments.cli.console import say
from experiments.cli.results import read_as
from experiments.jobs.record import JobRecord, read_record
from experiments.rows.identity import LENGTH, check_identity
from experiments.rows.row import PlannedRow, RowResult, is_of_rows
from experiments.scoring.estimators import REFERENCES
from madsep_jax.checkpoint.folder import checkpoint_folder
from madsep_jax.config.io import from_dict, override, to_flat
from madsep_jax.config.run import RunConfig
from madsep_jax.config.systems import place_of
from madsep_jax.errors import InputError
from madsep_jax.host.environment import environment
from madsep_jax.host.files import clear_leftovers, is_there, read_json, write_json, write_new_json
from madsep_jax.host.locks import holder, try_lock
from madsep_jax.models.outside import with_accepted_source

_IDENTITY, _RESULT = "experiment.json", "row.json"


@dataclass(frozen=True)
class ExperimentFolder:
    """Rows of the same base and the same songs; rows can be added, and all of them trained for longer, at any time."""

    path: Path
    identity: dict[str, Any]

    @classmethod
    def find(cls, path: Path, base: RunConfig, data: str, weights: str | None = None) -> "ExperimentFolder":
        """Check that a folder is, or can become, that of an experiment. Writes nothing.

        It is of one base, whose masker and seed, which make the rows differ, do not count, one fingerprint of data and,
        where the trainings start from given weights, one of those. It may have been trained for less.

        Raises:
            InputError: where the folder holds something else, and what differs, or cannot be read.
        """
        identity = {"data": data} | {name: value for name, value in to_flat(base).items() if not is_of_rows(name)}
        identity |= {"weights": weights} if weights else {}
        try:
            if path.exists() and not path.is_dir():
                raise InputError(f"--out {path}: found a file, expected a folder")
            found = [entry.name for entry in path.iterdir()] if path.is_dir() else []
        except OSError as error:
            raise InputError(f"--out {path}: cannot be read: {error.strerror}") from None
        if is_there(path / _IDENTITY):  # looked for last, as another process may be making it
            check_identity(path / _IDENTITY, read_json(path / _IDENTITY), identity)
        elif any(not name.startswith(f".{_IDENTITY}.") for name in found):
            raise InputError(f"--out {path}: found other files, expected an empty folder or one of this experiment")
        return cls(path, identity)

    @property
    def is_new(self) -> bool:
        """Whether nothing has been written yet."""
        return not (self.path / _IDENTITY).is_file()

    def create(self) -> None:
        """Make the folder, where it is new, write down what it is for, or for how much longer, and clear leftovers.

        Raises:
            InputError: where it cannot be written, or another process has made it for something else.
        """
        path, content = self.path / _IDENTITY, {"identity": self.identity, "environment": environment()}
        try:
            write_new_json(path, content)
            found = read_json(path)
            check_identity(path, found, self.identity)
            if found["identity"] != self.identity:  # a longer one, or with fields of a newer version
                write_json(path, content)
        except OSError as error:
            raise InputError(f"--out {self.path}: cannot be written: {error.strerror}") from None
        clear_leftovers(self.path)

    def finished(self, row: PlannedRow) -> RowResult | None:
        """Return the result of a row that is finished, a failed one included; that of a shorter training is none.

        But one that has failed, or stopped early, which a longer one would do at the same step.
        """
        path = row.folder(self.path) / _RESULT
        result = _read_result(path)
        before = from_dict(RunConfig, result.config) if result and result.config else None
        if before and row.config:
            before = with_accepted_source(before, row.config)
        if result is None or before == row.config:
            return result
        length = {f"training.{name}": getattr(row.config.training, name) for name in LENGTH} if row.config else {}
        if before is None or override(before, length) != row.config:
            raise InputError(f"{path}: is of another configuration than this row's; choose another --out")
        return result if result.failed or result.stopped_early else None

    def all_failed(self, rows: Sequence[PlannedRow]) -> bool:
        """Whether there is nothing but failures of these rows, those without a model apart."""
        results = [self.finished(row) for row in rows if row.config]
        return bool(results) and all(result is not None and result.failed for result in results)

    def results(self, rows: Sequence[PlannedRow]) -> list[RowResult]:
        """Return what is finished of these rows and of those of other commands, in one order whoever asks."""
        known = {row.folder_name for row in rows}
        others = [path for path in sorted((self.path / "rows").glob(f"*/{_RESULT}")) if path.parent.name not in known]
        found = [*map(self.finished, rows), *map(_read_result, others)]
        order = {name: number for number, name in enumerate(REFERENCES)}
        return sorted(
            (result for result in found if result),
            key=lambda result: (order.get(result.system, len(order)), place_of(result.system), result.seed or 0),
        )

    def finish(self, row: PlannedRow, result: RowResult) -> None:
        """Keep the result of a row that this process has run."""
        result = dataclasses.replace(result, environment=environment())
        write_json(row.folder(self.path) / _RESULT, dataclasses.asdict(result))


def _read_result(path: Path) -> RowResult | None:
    return read_as(RowResult, path, "delete its folder")


def row_groups(rows: Sequence[PlannedRow], seeds_together: bool) -> list[list[PlannedRow]]:
    """Return the rows that are run one after the other by one process: each by itself, or the seeds of a system."""
    groups: dict[str, list[PlannedRow]] = {}
    for row in rows:
        groups.setdefault(row.system if seeds_together else row.folder_name, []).append(row)
    return list(groups.values())


@contextmanager
def claimed(
    rows: Sequence[PlannedRow], folder: ExperimentFolder, console: Console, *, in_job: bool = False
) -> Iterator[list[PlannedRow]]:
    """Keep other processes from running the rows that are left to do, and yield these.

    A row that another process is running, or that a job waits to run (another one, where this process is `in_job`), is
    left to it, with a line that says so.
    """
    with ExitStack() as held:
        left = []
        for row in rows:
            place, lock = row.folder(folder.path), row.lock(folder.path)
            if folder.finished(row):
                continue
            if not held.enter_context(try_lock(lock)):
                who = holder(lock) or "another process"
                say(console, f"{row.folder_name}: is being run by {who} and left to it")
            elif not in_job and (job := read_record(place)) and job.state(place) != "ended":
                say(console, f"{row.folder_name}: is given to job {job.job_id} and left to it")
            elif not folder.finished(row):  # as it may be by now
                _clear_leftovers(place)
                left.append(row)
        yield left


@contextmanager
def claimed_for_all(rows: Sequence[PlannedRow], experiment: Path) -> Iterator[None]:
    """Keep others from running rows that several processes train together; to be called by the first of these.

    Raises:
        InputError: where another process is running one of them.
    """
    with ExitStack() as held:
        for row in rows:
            if not held.enter_context(try_lock(row.lock(experiment))):
                who = holder(row.lock(experiment))
                raise InputError(f"{row.folder(experiment)}: found in use by {who}, expected to be free")
            _clear_leftovers(row.folder(experiment))
        yield


def _clear_leftovers(row_folder: Path) -> None:
    for place in (row_folder, row_folder / "scores", checkpoint_folder(row_folder)):
        clear_leftovers(place)


@dataclass(frozen=True)
class RowState:
    """One row: finished; being run by a process; handed to a job that waits, or has ended without it; or untouched."""

    kind: Literal["finished", "running", "queued", "ended", "new"]
    result: RowResult | None = None
    job: JobRecord | None = None
    runs_in: str = ""
    """The process or the job, in words."""

    @property
    def taken(self) -> bool:
        """Whether somebody else is at it, or will be."""
        return self.kind in ("running", "queued")


def row_state(row: PlannedRow, folder: ExperimentFolder) -> RowState:
    """Return the state of a row: from its result, from its lock, and from its job, in this order."""
    place = row.folder(folder.path)
    if result := folder.finished(row):
        return RowState("finished", result)
    job = read_record(place)
    name = f"job {job.job_id}" if job else ""
    if process := holder(row.lock(folder.path)):
        return RowState("running", job=job, runs_in=name or process)
    if job is None:
        return RowState("new")
    state = job.state(place)
    if state == "ended" and (result := folder.finished(row)):  # in the meantime
        return RowState("finished", result)
    return RowState(state, job=job, runs_in=name)
