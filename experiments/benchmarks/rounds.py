"""Measure several things in turn, see that nothing is compiled meanwhile, and take the median."""

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import jax.monitoring
import numpy as np

Thing = TypeVar("Thing")
Found = TypeVar("Found")


def timed(run: Callable[[], Found]) -> tuple[Found, float]:
    """Return what a call returns, once it is there, and the seconds that this took."""
    start = time.perf_counter()
    found = jax.block_until_ready(run())
    return found, time.perf_counter() - start


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    first_quartile: float
    third_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of one value or more."""
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        return cls(median, first, third)


def spreads(found: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Return the spread of each of several values, each found once or more."""
    return {name: Spread.of([one[name] for one in found]) for name in found[0]}


def shown_range(seconds: Sequence[float], form: str) -> str:
    """Return the least and the largest in milliseconds, as text."""
    return f"{1e3 * min(seconds):{form}} to {1e3 * max(seconds):{form}}"


def in_turn(
    things: Iterable[Thing],
    rounds: int,
    run: Callable[[Thing], Found],
    *,
    moving: bool = False,
    is_due: Callable[[Sequence[Found]], bool] = lambda found: True,
    on_round: Callable[[int], object] = lambda number: None,
    on_turn: Callable[[], object] = lambda: None,
) -> dict[Thing, list[Found]]:
    """Let several things take turns, and return what was found of each, round by round.

    On a machine whose speed moves, all of them see the same of it, from the first round to the last.

    Args:
        things: each is there once.
        rounds: turns of each.
        run: one turn.
        moving: each round starts with another one, so that none always follows the same.
        is_due: whether one of which so much was found takes a turn in the next round; there are no rounds without any.
        on_round: called before each round with its number, from 1.
        on_turn: called after each turn.
    """
    found: dict[Thing, list[Found]] = {thing: [] for thing in things}
    for number in range(rounds):
        active = [thing for thing in found if is_due(found[thing])]
        if not active:
            break
        on_round(number + 1)
        first = number % len(active) if moving else 0
        for thing in active[first:] + active[:first]:
            found[thing].append(run(thing))
            on_turn()
    return found


#: Seconds that the repeats of one measurement may take.
PATIENCE_S = 60.0


def fits(seconds: Sequence[float]) -> bool:
    """Whether to repeat a measurement that has taken so many seconds each time: once at least, then while it fits."""
    return not seconds or sum(seconds) + seconds[-1] <= PATIENCE_S


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
    """Time steps of all of them in turn, a share of the steps in each turn.

    A turn starts with a step that is not timed: in a training a step follows one of the same program, not one of
    another, which leaves it neither caches nor memory pages. What runs out of memory, or fails at runtime, is out; the
    others go on.

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
    turns = min(turns, steps)
    shares = {name: iter([steps * (n + 1) // turns - steps * n // turns for n in range(turns)]) for name in runs}

    def turn(name: str) -> Times:
        try:
            with no_compilation(name):
                return Times(_step_seconds(runs[name], next(shares[name]), seconds / turns, clock))
        except (RuntimeError, MemoryError) as error:
            return Times(failure=reason(error))

    def is_due(done: Sequence[Times]) -> bool:
        return not (done and done[-1].failure)

    found = in_turn(runs, turns, turn, moving=True, is_due=is_due, on_round=on_round)
    return {
        name: done[-1] if done[-1].failure else Times([step_s for turn in done for step_s in turn.step_s])
        for name, done in found.items()
    }


def _step_seconds(run: Callable[[], object], steps: int, seconds: float, clock: Callable[[], float]) -> list[float]:
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
    count, thread = _counter(), threading.get_ident()
    before = count[thread]
    yield
    if count[thread] != before:
        raise CompiledWhileTimedError(f"{what}: {count[thread] - before} programs were compiled in a timed step")


@functools.cache
def _counter() -> dict[int, int]:
    """Return how many programs each thread has compiled since the first call; it is kept up to date."""
    count: dict[int, int] = defaultdict(int)

    def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == _COMPILED:
            count[threading.get_ident()] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    return count
