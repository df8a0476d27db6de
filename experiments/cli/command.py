"""How every command ends: bad input as one line and exit code 2; a training that a signal stops, once it is saved."""

import codecs
import errno
import importlib.metadata
import io
import os
import select
import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from experiments.cli.parser import App, CycloptsError, UnknownOptionError, UnusedCliTokensError
from experiments.cli.signals import INTERRUPTED, Guard, Stopped, keeps, line_of
from madsep_jax.errors import InputError, InputErrors, shown

BAD_INPUT = 2

#: Errors of the system that are told in one line: a disk is full; a file or folder, which has a name, cannot be used.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EIO)

_PLAINER = {"–": "-", "—": "-", "−": "-", "×": "x"}

#: Nobody reads the output any more, as in `| head`: as Rich, which prints most of it, has it.
OUTPUT_CLOSED = 1


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a command on its arguments (the process's own when None) and return the exit code."""
    keeps("")
    guard = None
    if argv is None:  # the process is the command's own
        guard = Guard(app.name[0])
        _write_what_can_be_written()
    try:
        try:
            line, code = _outcome(app, argv, guard)
            if line:
                print(f"{app.name[0]}: {line}", file=sys.stderr)
            if sys.stdout is not None:  # as it is where the command was started without one
                sys.stdout.flush()  # a closed pipe is met here and not when the process ends
        except BrokenPipeError:
            if not any([_reader_has_gone(sys.stdout), _reader_has_gone(sys.stderr)]):
                raise
            code = OUTPUT_CLOSED
        return guard.ended(code) if guard else code
    except KeyboardInterrupt:
        if guard and guard.received:  # after the command's own end
            guard.leave(guard.received, unwound=True)
        raise


def _outcome(app: App, argv: Sequence[str] | None, guard: Guard | None) -> tuple[str, int]:
    """Return what a command says at last, on stderr, and its exit code; errors of the program itself are raised."""
    try:
        code = _run(app, argv)
        if guard and guard.received:
            raise KeyboardInterrupt  # which got lost on its way
        return "", code
    except Stopped as stopped:
        return str(stopped), stopped.exit_code
    except BaseException as error:
        if guard and guard.received:  # whatever the interruption has become on its way
            guard.leave(guard.received, unwound=True)
        if isinstance(error, KeyboardInterrupt):
            return line_of(), INTERRUPTED
        if isinstance(error, CycloptsError | InputError):
            return _one_line(error), BAD_INPUT
        if isinstance(error, OSError) and _is_of_the_machine(error):
            where = f"{shown(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
            return f"{where}{error.strerror}", BAD_INPUT
        raise


def _is_of_the_machine(error: OSError) -> bool:
    """Whether files, folders or disks are not as they have to be, and the program is not to blame."""
    unusable = error.errno in (*_UNUSABLE, errno.EEXIST)  # a file where a folder is to be
    return error.errno in _FULL or (unusable and error.filename is not None)


def _run(app: App, argv: Sequence[str] | None) -> int:
    for part in (app, *app.subapps):  # the sub-commands, too
        part.version = _version
    app.suppress_keyboard_interrupt = False  # Cyclopts would end the process without a word
    result = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    return result if isinstance(result, int) else 0


def _write_what_can_be_written() -> None:
    """Have a terminal that does not know a character show a plainer one."""
    codecs.register_error("plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainer")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    plain = [_PLAINER.get(one) or unicodedata.normalize("NFKD", one).encode("ascii", "ignore") for one in characters]
    return "".join(one if isinstance(one, str) else one.decode() or "?" for one in plain), error.end


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
