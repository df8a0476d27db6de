"""Time several things side by side."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from experiments.timing.compile_guard import no_compilation

#: Steps of everything, however long one takes.
_LEAST_STEPS = 2


@dataclass
class Times:
    """Seconds of each step, or why there are none."""

    step_s: list[float] = field(default_factory=list)
    failure: str | None = None


def interleave(
    runs: Mapping[str, Callable[[], object]],
    steps: int,
    seconds: float,
    on_round: Callable[[int], object] = lambda number: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Run one step of each in turn, until each has done `steps` steps, or `seconds` of them and at least two.

    On a machine whose speed moves, all of them see the same of it. Each round starts with another one, so that none
    always follows the same. What runs out of memory, or fails at runtime, is out; the others go on.

    Args:
        runs: by name; a call does one step, and returns when it is done.
        steps: of each.
        seconds: of each; what is slow ends here.
        on_round: called after each round with its number, from 1.
        clock: in seconds.

    Raises:
        CompiledWhileTimedError: where JAX compiled anything in a step.
    """
    times = {name: Times() for name in runs}
    active = list(runs)
    number = 0
    while active:
        first = number % len(active)
        for name in active[first:] + active[:first]:
            try:
                with no_compilation(name):
                    start = clock()
                    runs[name]()
                    times[name].step_s.append(clock() - start)
            except (RuntimeError, MemoryError) as error:
                times[name] = Times(failure=reason(error))
        number += 1
        on_round(number)
        active = [name for name in active if _goes_on(times[name], steps, seconds)]
    return times


def reason(error: BaseException) -> str:
    """Return an error as one line for a table."""
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return line if len(line) <= 200 else f"{line[:200]}…"


def _goes_on(times: Times, steps: int, seconds: float) -> bool:
    if times.failure:
        return False
    enough = len(times.step_s) >= steps or sum(times.step_s) >= seconds
    return not enough or len(times.step_s) < min(steps, _LEAST_STEPS)
