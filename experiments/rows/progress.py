"""How far a row is, as the process that runs it or its folder tells."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from experiments.rows.estimate import duration
from experiments.rows.plan import Plan
from experiments.rows.row import PlannedRow

_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Progress:
    """A row that is being trained or scored."""

    stage: str
    """`training` or `scoring`."""
    done: int
    total: int
    """Steps or songs."""
    loss: float | None = None
    """Of the last step."""
    each_s: float | None = None
    """Seconds of a step or a song."""

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest of the stage takes, None where nothing is known yet."""
        return None if self.each_s is None else self.each_s * (self.total - self.done)

    @property
    def whole_s(self) -> float | None:
        """Seconds that all of the stage takes."""
        return None if self.each_s is None else self.each_s * self.total

    def count(self) -> str:
        """Return how many of the steps or songs are done."""
        return f"{self.done}/{self.total}"

    def line(self) -> str:
        """Return all of it in words."""
        things = "steps" if self.stage == "training" else "songs"
        loss = "" if self.loss is None else f", loss {self.loss:.4g}"
        left = "" if self.left_s is None else f", {duration(self.left_s)} left"
        return f"{self.stage}, {self.done} of {self.total} {things}{loss}{left}"


def progress_of(row: PlannedRow, plan: Plan) -> Progress | None:
    """Return what a row that another process runs is at; None before its first step."""
    place = row.folder(plan.out)
    if row.config and not (place / "training.json").is_file():
        last = _last_line(place / "train.jsonl")
        if last is None:
            return None
        loss, each_s = last.get("loss"), last.get("step_s")
        return Progress("training", int(last["step"]), plan.steps_of(row.config), loss, each_s)
    return Progress("scoring", len(list((place / "scores").glob("*.json"))), len(plan.songs.test))


def _last_line(log: Path) -> dict[str, float] | None:
    """Return the last whole line of a log that another process is writing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
        found = json.loads(lines[-1])
        return {**found, "step": int(found["step"])}
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return None
