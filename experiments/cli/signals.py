"""What SIGTERM and SIGINT do while a model is trained: the training saves its state and ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_INTERRUPTED = 130


class Stopped(Exception):
    """A training has ended before its last step, because it was told to; its state is saved.

    Carries the exit code of the command: 0 after SIGTERM, by which a cluster takes a machine back, and 130 after
    SIGINT, so that what a shell was to run next is not run.
    """

    def __init__(self, line: str, received: signal.Signals | None) -> None:
        super().__init__(line)
        self.exit_code = _INTERRUPTED if received == signal.SIGINT else 0


class StopSignals:
    """Takes note of the first signal, within a `with` in the main thread; a second one ends the process at once."""

    received: signal.Signals | None = None

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._breaks = False

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python, and cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def ending_at_once(self) -> Iterator[None]:
        """Let a signal end what is done within the `with`, by raising Stopped; it is left, too, where one has come."""
        self._breaks = True
        try:
            self._break()
            yield
        finally:
            self._breaks = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        self._break()

    def _break(self) -> None:
        if self._breaks and self.received:
            raise Stopped("", self.received)
