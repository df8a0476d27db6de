"""The one exception for input that is wrong, as opposed to code that is wrong, and what its messages are made of."""

import difflib
import os
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """What a user supplied cannot be used.

    The message is one line that names the file or field, what was found and what was expected. The commands
    print it and exit with code 2; every other exception is a programming error and keeps its traceback.
    """


class InputErrors(InputError):
    """Several things at once that cannot be used: a line for each, and one about all of them before these."""

    def __init__(self, about: str, lines: Iterable[str]) -> None:
        super().__init__("\n".join([about, *(f"  {line}" for line in lines)]))


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """End of an error line: the nearest of the valid names, or all of them where none is near."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(valid)}"


def require(condition: bool, owner: object, name: str, expected: str) -> None:
    """Raise InputError, naming the field, what it holds and what was expected, unless the condition holds."""
    if not condition:
        found = getattr(owner, name)
        raise InputError(f"{type(owner).__name__}.{name}: found {found!r}, expected {expected}")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first few of some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as error lines show it: quoted where it holds a line break or the like."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)
