"""How long the steps of a training take."""

import statistics
import time

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
