"""What a training leaves to look at: JSON lines and TensorBoard events, with time, waiting and memory, and a trace."""

import json
import statistics
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import jax
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from data_pipelines.batches.to_device import TimedBatches
from experiments.training.saving import Start
from madsep_jax.host.files import errors_named, json_line, write_text
from madsep_jax.host.memory import process_memory
from madsep_jax.parallel.processes import is_first_process
from madsep_jax.train.running import BySeed

Part = Literal["train", "validation"]
Call = Callable[[Any, Any], Any]

#: The first calls of a start, which find memory and fill the pipeline, do not count in the median, and are not traced.
_FIRST_CALLS = 3


class Log:
    """The log of one training, of one seed or several together: a `TrainLog` each, and the one clock of its calls.

    The steps of a call share what it took equally. Only the first process writes.
    """

    def __init__(self, starts: Sequence[Start], devices: Sequence[jax.Device]) -> None:
        self._starts = starts
        self._devices = [device for device in devices if device.process_index == jax.process_index()]
        self._logs: list[TrainLog] = []
        self._stack = ExitStack()
        self._timed: TimedBatches[Any] = TimedBatches(())
        self._last = time.perf_counter()
        self._counts = False
        self._counted_s: list[float] = []

    def __enter__(self) -> "Log":
        if is_first_process():
            self._logs = [self._stack.enter_context(TrainLog(start.folder, start.step)) for start in self._starts]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def timed(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Yield the batches of all calls, and measure how long each is waited for; the first call begins now."""
        self._timed = TimedBatches(batches)
        self._last = time.perf_counter()
        return self._timed

    def write(self, steps: range, by_step: Sequence[BySeed], left_out: Container[int] = ()) -> None:
        """Log the steps of a call, which is done now, but for the seeds left out. Calls are logged in order."""
        measured = self._measured(len(steps))
        for step, by_seed in zip(steps, by_step, strict=True):
            for number, (log, values) in enumerate(zip(self._logs, by_seed, strict=False)):
                if number not in left_out:
                    log.write(step, {**values, **measured})

    def write_validation(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Log what the validation of a seed has found after a step."""
        self._logs[number].write_validation(step, values)

    def saved(self) -> None:
        """All seeds have been validated and saved: the time since the last call is no call's."""
        for log in self._logs:
            log.flush()
        self._last, self._counts = time.perf_counter(), False

    @property
    def step_s(self) -> float | None:
        """Median seconds of a step, without the first few calls and those that followed a save; None of none."""
        counted_s = self._counted_s[_FIRST_CALLS:] or self._counted_s
        return statistics.median(counted_s) if counted_s else None

    def _measured(self, steps: int) -> dict[str, float]:
        now = time.perf_counter()
        step_s = (now - self._last) / steps
        if self._counts:
            self._counted_s.append(step_s)
        self._last, self._counts = now, True
        return {
            "step_s": step_s,
            "input_wait_s": self._timed.wait_s.popleft() / steps,
            "sequences_per_s": self._starts[0].config.training.batch_size / step_s,
            **memory_in_use(self._devices),
        }


_EVENTS_S = 10.0  # after which TensorBoard's file is brought up to date


class TrainLog:
    """Writes train.jsonl, validation.jsonl and TensorBoard events into a folder. A resumed log has each step once.

    Events are written at once: on a full disk tensorboardX's thread, which ends, would be waited for without end.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the log of a training that goes on after `first_step` steps; later lines are dropped."""
        self._folder, self._shown = folder, time.monotonic()
        place = folder / "tensorboard"
        place.mkdir(parents=True, exist_ok=True)
        for part in ("train", "validation"):
            path = _path(folder, part)
            if path.is_file():
                kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= first_step]
                write_text(path, "".join(kept))
        self._file = _path(folder, "train").open("a", encoding="utf-8")
        self._events = EventsWriter(str(place / "events"))
        self._add(Event(session_log=SessionLog(status=SessionLog.START)), first_step + 1)  # hides what came later

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log one step."""
        with errors_named(self._folder):
            self._file.write(json_line({"step": step, **values}))
            self._file.flush()
        self._show("train", step, values)

    def write_validation(self, step: int, values: Mapping[str, float]) -> None:
        """Log the validation after a step."""
        with errors_named(self._folder), _path(self._folder, "validation").open("a", encoding="utf-8") as file:
            file.write(json_line({"step": step, **values}))
        self._show("validation", step, values)

    def flush(self) -> None:
        """Have all that was logged in TensorBoard's file too; the lines are in theirs already."""
        self._shown = time.monotonic()
        with errors_named(self._folder):
            self._events.flush()

    def _show(self, part: Part, step: int, values: Mapping[str, float]) -> None:
        """Write all values as one event: a sixth of the time that `add_scalar` takes for each."""
        shown = [Summary.Value(tag=f"{part}/{name}", simple_value=value) for name, value in values.items()]
        self._add(Event(summary=Summary(value=shown)), step)
        if time.monotonic() - self._shown > _EVENTS_S:
            self.flush()

    def _add(self, event: Event, step: int) -> None:
        event.step, event.wall_time = step, time.time()
        with errors_named(self._folder):
            self._events.write_event(event)

    def __enter__(self) -> "TrainLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with errors_named(self._folder):
                self._file.close()
                self._events.close()
        except OSError:
            if kind is None:  # else the first error says more
                raise


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


def memory_in_use(devices: Sequence[jax.Device]) -> dict[str, float]:
    """Return the memory in use and its peak, in bytes: of the fullest device, or of the process where none tells."""
    stats = [found for device in devices if (found := device.memory_stats())]
    if stats:
        names = {"device_memory_bytes": "bytes_in_use", "device_peak_bytes": "peak_bytes_in_use"}
        return {name: max(of_one[key] for of_one in stats) for name, key in names.items() if key in stats[0]}
    found = process_memory()
    now = {} if found.now is None else {"process_memory_bytes": found.now}
    return {**now, "process_peak_bytes": found.peak}


@contextmanager
def profiled(
    call: Call, steps: int | None, steps_per_call: int, left: int, row_folder: Path, say: Callable[[str], None]
) -> Iterator[Call]:
    """Give the call of a program, which takes state and batch, traced for so many steps; None of them for no trace.

    Of a training that has so many steps left to do. The trace goes into the row's folder; at the end it is said where.
    """
    if steps is None or not is_first_process():
        yield call
        return
    traced = TracedCall(call, row_folder / "profile", steps, steps_per_call, left)
    try:
        yield traced
    finally:
        traced.stop()
        say(traced.description())


class TracedCall:
    """Traces so many steps by JAX's profiler, after the first few calls; of a short training, the last ones."""

    def __init__(self, call: Call, folder: Path, steps: int, steps_per_call: int, left: int) -> None:
        self._call, self._folder, self._steps_per_call = call, folder, steps_per_call
        self._calls = -(-steps // steps_per_call)
        self._first = max(min(_FIRST_CALLS, -(-left // steps_per_call) - self._calls), 0)
        self._done, self._tracing = 0, False

    def __call__(self, state: Any, batch: Any) -> Any:
        """Do a call, traced while it is time."""
        if self._done == self._first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True
        with jax.profiler.StepTraceAnnotation("call", step_num=self._done):  # nothing where there is no trace
            result = self._call(state, batch)
        self._done += 1
        if self._tracing and self._done == self._first + self._calls:
            jax.block_until_ready(result)
            self.stop()
        return result

    def stop(self) -> None:
        """End the trace, where one is under way, and write it."""
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()

    def description(self) -> str:
        """Say where the trace is and how to open it."""
        files = sorted(self._folder.rglob("*.trace.json.gz"))
        if not files:
            return f"{self._folder}: no trace, as no step was trained"
        calls = min(self._calls, self._done - self._first)
        of_steps = f" of {self._steps_per_call} steps" if self._steps_per_call > 1 else ""
        return (
            f"Trace of {calls} calls{of_steps}: open {files[-1]} at https://ui.perfetto.dev, or run "
            f"`pip install xprof && xprof --logdir {self._folder}`"
        )
