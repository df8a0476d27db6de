"""How every command ends: bad input as one line and exit code 2; a training that a signal stops, once it is saved."""

import errno
import importlib.metadata
import os
import select
import sys
from collections.abc import Sequence
from typing import TextIO

from cyclopts import App, CycloptsError, UnknownOptionError, UnusedCliTokensError

from experiments.cli.signals import INTERRUPTED, Guard, Stopped, keeps, line_of
from madsep_jax.errors import InputError, InputErrors, shown

BAD_INPUT = 2

#: What a user's disk, or what it allows, is the cause of.
_OF_FILES = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR),
}

#: Nobody reads the output any more, as in `| head`: as Rich, which prints most of it, has it.
OUTPUT_CLOSED = 1


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a command on its arguments (the process's own when None) and return the exit code."""
    keeps("")
    guard = Guard(app.name[0]) if argv is None else None  # the process is the command's own
    try:
        code = _run(app, argv)
        if sys.stdout is not None:  # as it is where the command was started without one
            sys.stdout.flush()  # a closed pipe is met here and not when the process ends
    except Stopped as stopped:
        if str(stopped):
            _say(app, str(stopped))
        code = stopped.exit_code
    except BaseException as error:
        if guard and guard.received:  # whatever the interruption has become on its way
            guard.leave(guard.received, unwound=True)
        if isinstance(error, CycloptsError | InputError):
            _say(app, _one_line(error))
            code = BAD_INPUT
        elif isinstance(error, KeyboardInterrupt):
            _say(app, line_of())
            code = INTERRUPTED
        elif isinstance(error, BrokenPipeError) and any([_reader_has_gone(sys.stdout), _reader_has_gone(sys.stderr)]):
            code = OUTPUT_CLOSED
        elif isinstance(error, OSError) and error.errno in _OF_FILES:
            where = f"{shown(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            _say(app, f"{where}cannot be read or written: {error.strerror}")
            code = BAD_INPUT
        else:
            raise
    if guard and guard.received:  # and nobody has passed it on
        guard.leave(guard.received, unwound=True)
    return guard.ended(code) if guard else code


def _run(app: App, argv: Sequence[str] | None) -> int:
    for part in (app, *app.subapps):  # the sub-commands, too
        part.version = _version
    app.suppress_keyboard_interrupt = False  # Cyclopts would end the process without a word
    result = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    return result if isinstance(result, int) else 0


def _say(app: App, line: str) -> None:
    print(f"{app.name[0]}: {line}", file=sys.stderr)


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
