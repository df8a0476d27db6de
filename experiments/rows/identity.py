"""What an experiment is of: what all its rows have in common, and which other one can go on to be it."""

from pathlib import Path
from typing import Any

from madsep_jax.config.io import to_flat
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import ENDING_SCHEDULES
from madsep_jax.errors import InputError

#: How long the rows are trained: the first of these fields that is given.
LENGTH = ("steps", "epochs")

_WORDS = {"data": "other songs", "weights": "other weights to start from"}


def check_identity(path: Path, content: Any, expected: dict[str, Any]) -> None:
    """Raise InputError where the file of an experiment is of another one than is expected.

    That of a shorter one, whose rows can be trained for longer, may stand there. Rows of a schedule that ends with the
    training cannot: had they been trained in one go, their rates had been others.
    """
    found = content.get("identity") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise InputError(f"{path}: is damaged, expected what this command wrote")
    # a field that was not there yet had what is now its default
    found = {name: value for name, value in to_flat(RunConfig()).items() if name in expected} | found
    names = sorted(set(found) | set(expected))
    different = [name for name in names if found.get(name) != expected.get(name)]
    is_longer = set(different) <= {f"training.{name}" for name in LENGTH} and _is_longer(expected, found)
    kind = expected.get("training.schedule.kind")
    has_ended = is_longer and kind in ENDING_SCHEDULES and expected.get("training.schedule.steps") is None
    if different and (has_ended or not is_longer):
        first = different[0]
        shown = _WORDS.get(first, f"{first} {found.get(first)!r}, expected {expected.get(first)!r}")
        more = f" (and {len(different) - 1} more differences)" if len(different) > 1 else ""
        why = f" (its {kind} schedule has ended there, and cannot go on as if it had not)" if has_ended else ""
        raise InputError(
            f"--out {path.parent}: holds another experiment, with {shown}{more}{why}; choose another folder"
        )


def _is_longer(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one experiment is longer than another, as far as their fields tell: steps by steps, epochs by epochs."""
    for name in LENGTH:
        first, second = (identity.get(f"training.{name}") for identity in (one, other))
        if (first, second) != (None, None):
            return isinstance(first, int) and isinstance(second, int) and first > second
    return False
