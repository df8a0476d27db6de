"""How every command ends: bad input as one line and exit code 2; a training that a signal stops, once it is saved."""

import importlib.metadata
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from cyclopts import App, CycloptsError, UnknownOptionError, UnusedCliTokensError

from madsep_jax.errors import InputError, InputErrors

BAD_INPUT = 2
INTERRUPTED = 130
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Nobody reads the output any more, as in `| head`: as Rich, which prints most of it, has it.
OUTPUT_CLOSED = 1


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a command on its arguments (the process's own when None) and return the exit code."""
    try:
        code = _run(app, argv)
        if sys.stdout is not None:  # as it is where the command was started without one
            sys.stdout.flush()  # a closed pipe is met here and not when the process ends
        return code
    except BrokenPipeError:
        if not any([_reader_has_gone(sys.stdout), _reader_has_gone(sys.stderr)]):
            raise
        return OUTPUT_CLOSED


def _run(app: App, argv: Sequence[str] | None) -> int:
    name = app.name[0]
    for part in (app, *app.subapps):  # the sub-commands, too
        part.version = _version
    app.suppress_keyboard_interrupt = False  # Cyclopts would end the process without a word
    try:
        result = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, InputError) as error:
        print(f"{name}: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except Stopped as stopped:
        if str(stopped):
            print(f"{name}: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted; start the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _version() -> str:
    try:
        return f"madsep-jax {importlib.metadata.version('madsep-jax')}"
    except importlib.metadata.PackageNotFoundError:  # run from a folder of its source
        return "madsep-jax, not installed"


def _one_line(error: CycloptsError | InputError) -> str:
    """Return the message in one line; unlike Cyclopts' own it always says what could be given instead."""
    if isinstance(error, InputErrors):
        return str(error)  # a line for each
    line = " ".join(str(error).split())
    if isinstance(error, UnusedCliTokensError):
        return f"found {' '.join(error.unused_tokens or [])!r}, expected options only (--help lists them)"
    if isinstance(error, UnknownOptionError) and "Did you mean" not in line:
        names = sorted({name for found in error.argument_collection for name in found.names})
        return f"{line} Expected one of: {', '.join([name for name in names if name.startswith('-')] + ['--help'])}."
    return line


def _reader_has_gone(stream: TextIO) -> bool:
    """Whether an output stream is a pipe that nobody reads; if so, what is still to come goes nowhere."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # no file of the system, as in tests
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are always told
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return True


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
