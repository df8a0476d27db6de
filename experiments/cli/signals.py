"""What ends a command before its time, SIGINT (Ctrl-C) or SIGTERM: at once, in one line, with nothing half-written.

A signal is raised in the main thread, where it unwinds what is being done. Some of that cannot be interrupted for many
seconds (XLA compiles, a worker finishes its song), and some code takes an interruption for an error of its own. So a
thread watches, and ends the process where it is still there after a second. What must come to its end, as a training
that is saved, does so within a `with`: of `StopSignals` or of `unhurried`.
"""

import atexit
import contextlib
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from madsep_jax.host.files import drop_asides

_SIGNALS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
INTERRUPTED = 128 + signal.SIGINT

#: What an interrupted command is given to end by itself, and how often it is looked at meanwhile.
_GRACE_S = 1.0
_LOOK_S = 0.05

_SHOW_CURSOR = b"\x1b[?25h\n"


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM has come."""


class _State:
    """Of this process."""

    kept = ""
    """What remains of what has been done, in words."""
    unhurried = 0
    """How many things are being done that must come to their end."""
    put_off = False
    """Whether a signal has come meanwhile."""


CONTINUE = "start the same command again to continue"


def keeps(what: str = CONTINUE) -> None:
    """Note what remains of what has been done, by default all of it: an interrupted command says so."""
    _State.kept = what


def line_of(received: signal.Signals = signal.SIGINT) -> str:
    """Return what a command says that a signal has ended."""
    return "; ".join(filter(None, [_SIGNALS[received], _State.kept]))


@contextmanager
def unhurried() -> Iterator[None]:
    """Let what is done within the `with` come to its end.

    A first signal that comes meanwhile is raised at the end; a second one ends the process.
    """
    _State.unhurried += 1
    try:
        yield
    finally:
        _State.unhurried -= 1
        if _State.put_off and not _State.unhurried:
            _State.put_off = False
            raise Interrupted


class Guard:
    """Has signals end the process of a command. There is one at most, made in the main thread; it stays to the end."""

    received: signal.Signals | None = None

    def __init__(self, name: str) -> None:
        self._name = name
        self._code: int | None = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)  # is told while no Python code can run, too
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as for what a script runs in the background
                signal.signal(number, self._take)
        atexit.register(self._ignore)
        threading.Thread(target=self._watch, daemon=True).start()

    def ended(self, code: int) -> int:
        """Note that the command has come to its end and said all, and return its exit code."""
        self._code = code
        return code

    def _ignore(self) -> None:
        """Let no signal end the process in its last moments, when Python has put back what it did by itself."""
        for number in _SIGNALS:
            if signal.getsignal(number) == self._take:
                signal.signal(number, signal.SIG_IGN)

    def leave(self, received: signal.Signals, unwound: bool = False) -> None:
        """End the process and those of its pools, without what it has written aside."""
        with contextlib.suppress(OSError, ValueError):
            if sys.stdout is not None and unwound:
                sys.stdout.flush()
            elif sys.stdout is not None and sys.stdout.isatty():
                os.write(1, _SHOW_CURSOR)
        for child in multiprocessing.active_children():
            child.kill()
        drop_asides()
        if self._code is None:
            self._code = 128 + received
            with contextlib.suppress(OSError):
                os.write(2, f"{self._name}: {line_of(received)}\n".encode(errors="surrogateescape"))
        os._exit(self._code)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            self.leave(self.received)
        self.received = signal.Signals(number)
        with contextlib.suppress(OSError):
            os.write(self._writer, bytes([number]))  # an event loop may have had the wakeup
        if self._code is None:
            if _State.unhurried:
                _State.put_off = True
                return
            if _is_importing(frame):
                self.leave(self.received)
            sys.unraisablehook = lambda _: None  # of what is interrupted where nothing can be raised
            raise Interrupted

    def _watch(self) -> None:
        received: list[signal.Signals] = []
        due: float | None = None
        while True:
            if select.select([self._reader], [], [], _LOOK_S if received else None)[0]:
                received += [signal.Signals(number) for number in os.read(self._reader, 64) if number in _SIGNALS]
            if _State.unhurried or not received:
                due = None
            elif due is None:
                due = time.monotonic() + _GRACE_S
            elif time.monotonic() > due:
                self.leave(received[0])


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: one in C may crash where an exception is raised within."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


class Stopped(Exception):
    """A training has ended before its last step, because it was told to; its state is saved.

    Carries the exit code of the command: 0 after SIGTERM, by which a cluster takes a machine back, and 130 after
    SIGINT, so that what a shell was to run next is not run.
    """

    def __init__(self, line: str, received: signal.Signals | None) -> None:
        super().__init__(line)
        self.exit_code = INTERRUPTED if received == signal.SIGINT else 0


class StopSignals:
    """Takes note of the first SIGTERM or SIGINT, within a `with` in the main thread; a second one ends the process."""

    received: signal.Signals | None = None

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._breaks = False

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            _State.unhurried += 1
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python, and cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _State.unhurried -= bool(self._before)

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
