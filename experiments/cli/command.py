"""How every command behaves: options from a typed dataclass, bad input as one line and exit code 2."""

import importlib.metadata
import os
import select
import sys
from collections.abc import Sequence
from typing import TextIO

from cyclopts import App, CycloptsError, UnknownOptionError, UnusedCliTokensError

from experiments.cli.signals import Stopped
from madsep_jax.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130

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
