"""How far a row has come, from what is in its folder."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.jobs.record import JobRecord, read_record
from experiments.rows.folder import ExperimentFolder
from experiments.rows.plan import Plan
from experiments.rows.row import Row, RowResult
from madsep_jax.host.locks import holder

Kind = Literal["finished", "running", "queued", "ended", "new"]
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class RowState:
    """One row: finished; being run by a process; handed to a job that waits, or has ended without it; or untouched."""

    kind: Kind
    result: RowResult | None = None
    job: JobRecord | None = None
    runs_in: str = ""
    """The process or the job, in words."""

    @property
    def taken(self) -> bool:
        """Whether somebody else is at it, or will be."""
        return self.kind in ("running", "queued")


def row_state(row: Row, folder: ExperimentFolder) -> RowState:
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


def how_far(row: Row, plan: Plan) -> str:
    """Return what a running row is at: the step of its training, or the songs that are scored."""
    place = row.folder(plan.out)
    if row.config and not (place / "training.json").is_file():
        step = _last_step(place / "train.jsonl")
        return f"step {step} of {plan.steps_of(row.config)}" if step else ""
    scored = len(list((place / "scores").glob("*.json")))
    return f"{scored} of {len(plan.songs.test)} songs scored"


def _last_step(log: Path) -> int | None:
    """Return the step of the last whole line of a log that another process is writing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
        return int(json.loads(lines[-1])["step"])
    except (OSError, ValueError, IndexError, KeyError):
        return None
