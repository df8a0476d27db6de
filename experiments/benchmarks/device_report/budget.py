"""The time of a report: what is left of it, and an end to what cannot be interrupted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds that are left for writing, of a short budget a share.
_WRITING_S, _WRITING_SHARE = 5.0, 0.05


class Budget:
    """Seconds from a start, the last few of which are for writing what there is."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start now."""
        self.seconds, self._clock, self._start = seconds, clock, clock()

    def passed(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._start

    def left(self) -> float:
        """Return the seconds that are left for work; less than 0 once it is time to write."""
        return self.seconds - min(_WRITING_S, _WRITING_SHARE * self.seconds) - self.passed()

    def fits(self, seconds: float) -> bool:
        """Whether something that is expected to take so long can be done."""
        return self.left() > seconds

    @contextmanager
    def watched(self, end: Callable[[], object]) -> Iterator[None]:
        """Call `end`, in a thread of its own, where what is within the `with` still runs when no time is left."""
        timer = threading.Timer(max(self.left(), 0.0), end)
        timer.daemon = True
        if self.left() > 0:  # otherwise nothing is begun
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
