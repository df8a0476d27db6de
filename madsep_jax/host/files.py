"""Files that are there whole or not at all, what killed processes leave of them, and the folder of computed things."""

import contextlib
import json
import math
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from madsep_jax.errors import InputError, shown

#: Of a name, bytes; with host and process a file name may have 255.
_LONGEST = 160

_LEFTOVER = re.compile(r"\..+\.(?P<thread>\d+)\.partial", re.DOTALL)
_DAY_S = 24 * 60 * 60.0

#: What this process may be writing.
_asides: set[Path] = set()


def aside_of(path: Path) -> Path:
    """Return where this thread, and no other that shares the folder, writes what is then renamed to `path`.

    The name has the host's name and the thread's number, which is the process's where that has one thread.
    """
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    aside = path.with_name(f".{name}.{socket.gethostname()}.{threading.get_native_id()}.partial")
    _asides.add(aside)
    return aside


@contextlib.contextmanager
def errors_named(path: Path, aside: Path | None = None) -> Iterator[None]:
    """Give the system's errors within, where they name no file, as those of a full disk do, the name of this one.

    And where they name the one `aside`.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, aside and os.fspath(aside)):
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def reading(path: Path, expected: str = "a readable folder") -> Iterator[None]:
    """Raise InputError in the place of the system's errors within, which are of this path where they name no other."""
    try:
        yield
    except OSError as error:
        where = shown(error.filename or path)
        raise InputError(f"{where}: cannot be read ({error.strerror}), expected {expected}") from error


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file, and rename it to `path` at the end; after an error nothing of it is left."""
    aside = aside_of(path)
    try:
        with errors_named(path, aside):
            yield aside
            aside.replace(path)
    finally:
        _delete(aside)
        _asides.discard(aside)


def drop_asides() -> None:
    """Delete all that this process has written aside and not renamed. For its last moment."""
    for aside in list(_asides):
        _delete(aside)


def clear_leftovers(folder: Path) -> None:
    """Delete what processes that were killed have left in a folder (not in those within): files and folders aside.

    That is what a thread of this machine wrote that is gone, and what nobody has written to for a day.
    """
    here = f".{socket.gethostname()}."
    with contextlib.suppress(OSError):  # no such folder, or one that cannot be read
        for path in sorted(folder.iterdir()):
            if match := _LEFTOVER.fullmatch(path.name):
                of_here = path.name[: match.start("thread")].endswith(here)
                if (of_here and not _is_alive(int(match["thread"]))) or _is_old(path):
                    _delete(path)


def _is_alive(thread: int) -> bool:
    try:
        os.kill(thread, 0)  # which finds threads by their numbers, too
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user, or no number of a thread
        return True
    return True


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _DAY_S
    except OSError:
        return False


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file aside, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file aside, then rename it into place. What is no finite number is written as null."""
    write_text(path, _json(value))


def write_new_json(path: Path, value: Any) -> None:
    """Write a JSON file that is not there yet; of several processes that do so at a time, one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        with errors_named(path, aside):
            aside.write_text(_json(value), encoding="utf-8")
        os.link(aside, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        pass
    except PermissionError:  # a file system without links, or a folder that cannot be written
        if not aside.exists():
            raise
        aside.replace(path)
    finally:
        _delete(aside)
        _asides.discard(aside)


def is_there(path: Path) -> bool:
    """Whether there is such a file. Raises InputError where the system does not let this be seen."""
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError where it is missing, cannot be read or is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{shown(path)}: no such file") from None
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{shown(path)}: cannot be read as JSON: {error}") from None


def json_line(value: Any) -> str:
    """Return a value as JSON in one line; what is no finite number is null."""
    return json.dumps(_with_nulls(value), ensure_ascii=False, allow_nan=False) + "\n"


def _json(value: Any) -> str:
    return json.dumps(_with_nulls(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _with_nulls(value: Any) -> Any:
    """Return a value with None in the place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(name): _with_nulls(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def user_cache() -> Path:
    """Return the user's cache folder for this project: `$XDG_CACHE_HOME/madsep_jax`, or `~/.cache/madsep_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "madsep_jax"
