"""Kinds of options that Cyclopts does not have by itself, and options back into arguments."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from cyclopts import Parameter, Token

from madsep_jax.errors import InputError


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Refuse fractions, which would be rounded otherwise."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"found {tokens[0].value!r}, expected a whole number") from None


Whole = Parameter(converter=_whole)

Many = Parameter(consume_multiple=True, negative=())

ManyOrNone = Parameter(consume_multiple=True, negative=(), show_default=False)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return name and value: the value as JSON where it is some, else as text. Raises InputError without a `=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: expected NAME=VALUE, as in training.learning_rate=0.0003")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def arguments_of(options: Any) -> list[str]:
    """Return the arguments that give these options; an option at its default is left out.

    Args:
        options: a dataclass as the commands take them: its fields are options by their names, those of a dataclass
            within it as well.
    """
    arguments: list[str] = []
    for field in dataclasses.fields(options):
        value, name = getattr(options, field.name), f"--{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            arguments += arguments_of(value)
        elif value == _default(field):
            continue
        elif isinstance(value, bool):
            arguments.append(name if value else name.replace("--", "--no-", 1))
        else:
            arguments += [f"{name}={part}" for part in (value if isinstance(value, tuple) else [value])]
    return arguments


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
