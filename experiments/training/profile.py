"""A trace of some steps of a training, for a profile viewer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from madsep_jax.parallel.processes import is_first_process

Call = Callable[[Any, Any], Any]

#: Calls before the trace, in which memory is found and the pipeline fills.
_FIRST_CALLS = 3


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
