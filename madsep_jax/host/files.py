"""Files that are there whole or not at all, and the folder of what can be computed again."""

import contextlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from madsep_jax.errors import InputError

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
def written_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file, and rename it to `path` at the end; after an error nothing of it is left."""
    aside = aside_of(path)
    try:
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
    """Write a JSON file aside, then rename it into place. NaN is written as null."""
    write_text(path, _json(value))


def write_new_json(path: Path, value: Any) -> None:
    """Write a JSON file that is not there yet; of several processes that do so at a time, one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        aside.write_text(_json(value), encoding="utf-8")
        os.link(aside, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        pass
    except PermissionError:  # a file system without links
        aside.replace(path)
    finally:
        _delete(aside)
        _asides.discard(aside)


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None


def _json(value: Any) -> str:
    return json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def user_cache() -> Path:
    """Return the user's cache folder for this project: `$XDG_CACHE_HOME/madsep_jax`, or `~/.cache/madsep_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "madsep_jax"
