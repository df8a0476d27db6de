"""Files that are there whole or not at all, and the folder of what can be computed again."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from madsep_jax.errors import InputError

#: Of a name, bytes; with host and process a file name may have 255.
_LONGEST = 160


def aside_of(path: Path) -> Path:
    """Return where this thread, and no other that shares the folder, writes what is then renamed to `path`.

    The name has the host's name and the thread's number, which is the process's where that has one thread.
    """
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST])
    return path.with_name(f".{name}.{socket.gethostname()}.{threading.get_native_id()}.partial")


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file, and rename it to `path` at the end; after an error nothing of it is left."""
    aside = aside_of(path)
    try:
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
        aside.unlink(missing_ok=True)


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
