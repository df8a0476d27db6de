"""Maskers whose modules are not of this project: what their names say, and the file that they are in. Nothing is run.

A name is `my_masker.py:TcnMasker` or `my_package.module:TcnMasker`, and with settings
`my_masker.py:TcnMasker(channels=64)`.
"""

import ast
import contextlib
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from madsep_jax.config.maskers import KINDS, MaskerConfig
from madsep_jax.errors import InputError, shown

_NAME = re.compile(r"(?P<code>.+):(?P<module>[^\W\d]\w*)(?P<settings>\(.*\))?", re.DOTALL)
_EXAMPLE = "my_masker.py:TcnMasker(channels=64)"


class OwnName(NamedTuple):
    """The parts of a name."""

    code: str
    """A file, as `my_masker.py`, or an installed module, as `my_package.module`."""
    module: str
    """The class."""
    settings: tuple[str, ...]
    """As `OwnConfig.settings`."""


@dataclass(frozen=True, kw_only=True)
class OwnConfig(MaskerConfig):
    """A masker of somebody's own, `madsep_jax.models.outside`: it stays the same where its file is moved."""

    kind: Literal["outside"] = "outside"
    source: str = ""
    """File and class, as in `my_masker.py:TcnMasker`, without the folder."""
    settings: tuple[str, ...] = ()
    """What the class's fields are set to, `name=value` in the order of the names, each value a literal of Python."""
    digest: str = ""
    """SHA-256 of the file."""

    @classmethod
    def of(cls, system: str) -> Self:
        """Return the settings that a name stands for. Raises InputError where it is none, or there is no such file."""
        code, module, settings = parse_name(system)
        return cls(source=f"{source_name(code)}:{module}", settings=settings, digest=digest_of(find_source(code)))

    @property
    def name(self) -> str:
        """The system's name, without the folder."""
        return self.source + (f"({', '.join(self.settings)})" if self.settings else "")

    def values(self) -> dict[str, Any]:
        """Return what the fields are set to, by their names."""
        split = (text.partition("=") for text in self.settings)
        return {name: ast.literal_eval(value) for name, _, value in split}


KINDS[OwnConfig.kind] = OwnConfig


def is_own(system: str) -> bool:
    """Whether a system is none of this project's, by its name."""
    return ":" in system


def parse_name(system: str) -> OwnName:
    """Return the parts of a name. Raises InputError where it is none."""
    found = _NAME.fullmatch(system)
    if not found:
        raise InputError(f"system {system!r}: expected FILE.py:CLASS or MODULE:CLASS, as {_EXAMPLE}")
    try:
        called: Any = ast.parse(f"_{found['settings'] or '()'}", mode="eval").body
        values = {str(one.arg or called.none): ast.literal_eval(one.value) for one in called.keywords}
        if called.args or len(values) < len(called.keywords) or not isinstance(called.func, ast.Name):
            raise ValueError
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        expected = f"names with numbers, texts in quotation marks, True, False, None or tuples, as {_EXAMPLE}"
        raise InputError(f"system {system!r}: found the settings {found['settings']}, expected {expected}") from None
    settings = tuple(f"{name}={value!r}" for name, value in sorted(values.items()))
    return OwnName(found["code"], found["module"], settings)


def file_name(system: str) -> str:
    """Return what files and folders call a system: of one's own the class and its settings, `TcnMasker-channels-64`."""
    if is_own(system):
        _, module, settings = parse_name(system)
        return "-".join(filter(None, [module, *(re.sub(r"[^\w.+-]+", "-", text).strip("-") for text in settings)]))
    return system.replace(" ", "-")


def known_as(system: str) -> str:
    """Return the name by which results know a system: of one's own without the folder.

    Raises InputError where it is none, or there is no such file.
    """
    return OwnConfig.of(system).name if is_own(system) else system


def source_name(code: str) -> str:
    """Return a file's name without its folder, or a module's."""
    return Path(code).name if code.endswith(".py") else code


def find_source(code: str) -> Path:
    """Return the file of some code. Raises InputError where there is none.

    To find a module in a package, Python runs the package's own `__init__.py`.
    """
    if code.endswith(".py"):
        if not Path(code).is_file():
            raise InputError(f"{shown(code)}: found no such file, expected the source of a masker")
        return Path(code)
    try:
        with importable(Path.cwd()):
            origin = getattr(importlib.util.find_spec(code), "origin", None)
    except (ModuleNotFoundError, ValueError):
        origin = None
    if origin is None or not origin.endswith(".py"):
        raise InputError(f"{shown(code)}: found no such module, expected one that can be imported, or a file, FILE.py")
    return Path(origin)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file. Raises InputError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let imports find what lies in a folder."""
    sys.path.insert(0, str(folder.absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.absolute()))
