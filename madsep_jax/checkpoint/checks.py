"""What is checked before a checkpoint is used: checksums of its files, and the shapes of its arrays."""

import json
import zlib
from pathlib import Path
from typing import Any

import jax

from madsep_jax.errors import InputError
from madsep_jax.host.files import write_json

_FILE = "checksums.json"
_BLOCK = 1 << 20


def write_checksums(folder: Path) -> None:
    """Write down the size and the CRC-32 of every file in the folders of a folder."""
    files = sorted(path for path in folder.glob("*/**/*") if path.is_file())
    write_json(folder / _FILE, {path.relative_to(folder).as_posix(): _sum_of(path) for path in files})


def find_damage(folder: Path, part: str) -> str | None:
    """Return what is wrong with the first damaged file of a part, a folder in this one.

    None where all files are as they were written, or where no checksums tell how that was.
    """
    try:
        return _damage(folder, part)
    except OSError as error:
        return error.strerror or str(error)


def _damage(folder: Path, part: str) -> str | None:
    try:
        sums = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        expected = {name: (int(size), str(crc)) for name, (size, crc) in sums.items()}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError):
        return f"{_FILE} is damaged"
    for name, (size, crc) in expected.items():
        if name.split("/")[0] != part:
            continue
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes, expected {size}"
        if _sum_of(path)[1] != crc:
            return f"{name} has changed since it was written"
    return None


def _sum_of(path: Path) -> tuple[int, str]:
    crc, size = 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return size, f"{crc:08x}"


class MisfitError(InputError):
    """A checkpoint is whole, and of something else."""


def check_shapes(saved: Any, template: Any, what: str) -> None:
    """Raise MisfitError, naming the arrays, where what was saved is not of the model that the config describes."""
    found, expected = (_shapes(tree) for tree in (saved, template))
    wrong = [name for name in sorted(set(found) | set(expected)) if found.get(name) != expected.get(name)]
    if wrong:
        shown = "; ".join(f"{name} is {found.get(name)}, expected {expected.get(name)}" for name in wrong[:3])
        raise MisfitError(f"{what} cannot be read: {len(wrong)} arrays do not fit the configuration: {shown}")


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """By a leaf's path, the same whether its containers are dictionaries, tuples or attributes."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}
