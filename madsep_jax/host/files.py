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
_ENDING = ".partial"

#: What is aside for longer is taken to be left over, whoever has written it.
_OLD_S = 24 * 3600.0


def aside_of(path: Path) -> Path:
    """Return where this thread, and no other that shares the folder, writes what is then renamed to `path`.

    The name has the host's name and the thread's number, which is the process's where that has one thread.
    """
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    return path.with_name(f".{name}.{socket.gethostname()}.{threading.get_native_id()}{_ENDING}")


def clear_leftovers(*folders: Path) -> None:
    """Remove what killed processes have left aside in these folders, not in those within them.

    That is what a thread of this host has written that is no more, and what is older than a day: the rest may be being
    written, also from other hosts. What cannot be removed stays.
    """
    for path in [path for folder in folders for path in folder.glob(f".*{_ENDING}")]:
        with contextlib.suppress(OSError):
            if _is_left_over(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_left_over(path: Path) -> bool:
    if time.time() - path.stat().st_mtime > _OLD_S:
        return True
    match = re.fullmatch(rf"\..+\.{re.escape(socket.gethostname())}\.(\d+){re.escape(_ENDING)}", path.name, re.DOTALL)
    return match is not None and not _is_alive(int(match[1]))


def _is_alive(thread: int) -> bool:
    """Whether a thread of this host is there: its own, where the number is that of a process."""
    if Path("/proc/self").exists():  # which has threads, too, though it does not list them
        return Path("/proc", str(thread)).exists()
    try:
        os.kill(thread, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


@contextlib.contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Give the system's errors within, where they name no file, as those of a full disk do, the name of this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, os.fspath(aside_of(path))):
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file, and rename it to `path` at the end; after an error nothing of it is left."""
    aside = aside_of(path)
    try:
        with errors_named(path):
            yield aside
            aside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


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
        with errors_named(path):
            aside.write_text(_json(value), encoding="utf-8")
        os.link(aside, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        pass
    except PermissionError:  # a file system without links, or a folder that cannot be written
        if not aside.exists():
            raise
        aside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


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
