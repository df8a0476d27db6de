"""Time several things in turn, and see that nothing is compiled meanwhile."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax.monitoring


@dataclass
class Times:
    """Seconds of each step, or why there are none."""

    step_s: list[float] = field(default_factory=list)
    failure: str | None = None


def interleave(
    runs: Mapping[str, Callable[[], object]],
    steps: int,
    seconds: float,
    turns: int,
    on_round: Callable[[int], object] = lambda number: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Let all of them take turns, a share of the steps in each.

    On a machine whose speed moves, all of them see the same of it, from the first round to the last. Each round starts
    with another one, so that none always follows the same. A turn starts with a step that is not timed: in a training a
    step follows one of the same program, not one of another, which leaves it neither caches nor memory pages. What runs
    out of memory, or fails at runtime, is out; the others go on.

    Args:
        runs: by name; a call does one step, and returns when it is done.
        steps: timed steps of each.
        seconds: of each. A turn ends once its timed steps have taken its share of them, but not before one step.
        turns: of each; no more than steps.
        on_round: called before each round with its number, from 1.
        clock: in seconds.

    Raises:
        CompiledWhileTimedError: where JAX compiled anything in a step.
    """
    times = {name: Times() for name in runs}
    turns = min(turns, steps)
    for number in range(turns):
        active = [name for name in runs if not times[name].failure]
        if not active:
            break
        on_round(number + 1)
        first = number % len(active)
        for name in active[first:] + active[:first]:
            steps_of_turn = steps * (number + 1) // turns - steps * number // turns
            try:
                with no_compilation(name):
                    times[name].step_s += _turn(runs[name], steps_of_turn, seconds / turns, clock)
            except (RuntimeError, MemoryError) as error:
                times[name] = Times(failure=reason(error))
    return times


def _turn(run: Callable[[], object], steps: int, seconds: float, clock: Callable[[], float]) -> list[float]:
    run()
    step_s: list[float] = []
    while len(step_s) < steps and sum(step_s) < seconds:
        start = clock()
        run()
        step_s.append(clock() - start)
    return step_s


def reason(error: BaseException) -> str:
    """Return an error as one line for a table."""
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return line if len(line) <= 200 else f"{line[:200]}…"


_COMPILED = "/jax/core/compile/backend_compile_duration"


class CompiledWhileTimedError(Exception):
    """A timed step compiled something, so that its time is none of a step."""


@contextmanager
def no_compilation(what: str) -> Iterator[None]:
    """Raise `CompiledWhileTimedError` after the `with` where JAX has compiled within it."""
    count = _counter()
    before = count[0]
    yield
    if count[0] != before:
        raise CompiledWhileTimedError(f"{what}: {count[0] - before} programs were compiled in a timed step")


@functools.cache
def _counter() -> list[int]:
    """Return the number of programs compiled since the first call, as a list that is kept up to date."""
    count = [0]

    def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == _COMPILED:
            count[0] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    return count
