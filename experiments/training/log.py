"""What a training leaves to look at: a JSON line and TensorBoard events a step, with its time, waiting and memory."""

import json
import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import jax
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from madsep_jax.host.files import write_text
from madsep_jax.host.memory import process_memory

Part = Literal["train", "validation"]


class TrainLog:
    """Writes train.jsonl, validation.jsonl and TensorBoard events into a folder. A resumed log has each step once."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the log of a training that goes on after `first_step` steps; later lines are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for part in ("train", "validation"):
            path = _path(folder, part)
            if path.is_file():
                kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= first_step]
                write_text(path, "".join(kept))
        self._file = _path(folder, "train").open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1, flush_secs=10)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log one step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        self._show("train", step, values)

    def write_validation(self, step: int, values: Mapping[str, float]) -> None:
        """Log the validation after a step."""
        with _path(self._folder, "validation").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        self._show("validation", step, values)

    def flush(self) -> None:
        """Have all that was logged in TensorBoard's file too; the lines are in theirs already."""
        self._events.file_writer.flush()

    def _show(self, part: Part, step: int, values: Mapping[str, float]) -> None:
        """Write all values as one event: a sixth of the time that `add_scalar` takes for each."""
        shown = [Summary.Value(tag=f"{part}/{name}", simple_value=value) for name, value in values.items()]
        self._events.file_writer.add_summary(Summary(value=shown), step)

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


#: What a line of the log has that is measured, and so differs from run to run of the same training.
MEASURED = (
    "step_s",
    "input_wait_s",
    "sequences_per_s",
    "device_memory_bytes",
    "device_peak_bytes",
    "process_memory_bytes",
    "process_peak_bytes",
)


class CallMeter:
    """Measures the calls of a program as they are reported; the steps of a call share what it took equally."""

    def __init__(self, sizes: Iterator[int], batch_size: int, devices: Sequence[jax.Device]) -> None:
        """Take how many steps each call does, how many sequences a step takes, and this process's devices."""
        self._sizes, self._batch_size, self._devices = sizes, batch_size, devices
        self._left = 0
        self._values: dict[str, float] = {}
        self._last = time.perf_counter()

    def restart(self) -> None:
        """Do not count the time since the last report: something else was done."""
        self._last = time.perf_counter()

    def next_step(self, wait_s: deque[float]) -> tuple[dict[str, float], int]:
        """Return the measured values of the next step, and how many steps its call does where it is the first of them.

        Args:
            wait_s: what the calls have waited for their batches; that of this call is taken out.
        """
        size = 0
        if not self._left:
            size = self._left = next(self._sizes)
            now = time.perf_counter()
            step_s = (now - self._last) / size
            self._last = now
            self._values = {
                "step_s": step_s,
                "input_wait_s": wait_s.popleft() / size,
                "sequences_per_s": self._batch_size / step_s,
                **memory_in_use(self._devices),
            }
        self._left -= 1
        return self._values, size


def memory_in_use(devices: Sequence[jax.Device]) -> dict[str, float]:
    """Return the memory in use and its peak, in bytes: of the fullest device, or of the process where none tells."""
    stats = [found for device in devices if (found := device.memory_stats())]
    if stats:
        names = {"device_memory_bytes": "bytes_in_use", "device_peak_bytes": "peak_bytes_in_use"}
        return {name: max(of_one[key] for of_one in stats) for name, key in names.items() if key in stats[0]}
    found = process_memory()
    now = {} if found.now is None else {"process_memory_bytes": found.now}
    return {**now, "process_peak_bytes": found.peak}


_UNTIMED_STEPS = 3


class StepClock:
    """Seconds from one reported step to the next, but over a save."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds: list[float] = []

    def tick(self, steps: int = 1) -> None:
        """So many steps have been reported since the last call."""
        now = time.perf_counter()
        if self._last is not None:
            self._seconds.append((now - self._last) / steps)
        self._last = now

    def saved(self) -> None:
        """The state has been saved."""
        self._last = None

    def median(self) -> float | None:
        """Return the median over the steps but the first few; None where there were none."""
        timed = self._seconds[_UNTIMED_STEPS:] or self._seconds
        return statistics.median(timed) if timed else None
