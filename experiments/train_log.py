"""What a training leaves to look at: one JSON line a step, and the same for TensorBoard."""

import json
from pathlib import Path
from types import TracebackType
from typing import Literal

from tensorboardX import SummaryWriter

from madsep_jax.files import write_text

Part = Literal["train", "validation"]


class TrainLog:
    """Writes train.jsonl, validation.jsonl and TensorBoard events into a folder. A resumed log has each step once."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the log of a training that goes on after `first_step` steps; later lines are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for part in ("train", "validation"):
            path = _path(folder, part)
            if part == "train" or path.is_file():
                kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= first_step]
                write_text(path, "".join(kept))
        self._file = _path(folder, "train").open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1, flush_secs=10)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log one step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        self._show("train", step, values)

    def write_validation(self, step: int, values: dict[str, float]) -> None:
        """Log the scores after a step."""
        with _path(self._folder, "validation").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        self._show("validation", step, values)

    def _show(self, part: Part, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._events.add_scalar(f"{part}/{name}", value, step)

    def __enter__(self) -> "TrainLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()


def read_log(folder: Path, part: Part) -> list[dict[str, float]]:
    """Return what has been logged, a dictionary a line."""
    return [json.loads(line) for line in _whole_lines(_path(folder, part))]


def _path(folder: Path, part: Part) -> Path:
    return folder / f"{part}.jsonl"


def _whole_lines(path: Path) -> list[str]:
    """Lines of a log that may have been cut off while its last line was written."""
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
