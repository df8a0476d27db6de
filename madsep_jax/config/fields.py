"""A setting is one field of a frozen dataclass, which carries its default, its meaning, its check and its flag.

Commands make their options of the flags (`experiments.cli.options`); this package knows no command.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from madsep_jax.errors import require


class Check(NamedTuple):
    """What a value has to be."""

    holds: Callable[[Any], bool]
    expected: str
    """The same in words."""


def positive(what: str = "number") -> Check:
    """More than 0."""
    return Check(lambda value: value > 0, f"a positive {what}")


def zero_or_more(unit: str = "") -> Check:
    """Not negative, and finite."""
    return Check(lambda value: 0 <= value < math.inf, f"0 or more {unit}".rstrip())


def zero_to_one(what: str) -> Check:
    """At least 0 and at most 1."""
    return Check(lambda value: 0 <= value <= 1, f"a {what}, 0 to 1")


#: Of a rate: positive and finite.
RATE = Check(lambda value: 0 < value < math.inf, "a positive number")

#: Of what random numbers are made from.
SEED = Check(lambda value: 0 <= value < 2**31, "0 or more, below 2**31")


class Option(NamedTuple):
    """What a field carries."""

    help: str
    """Its meaning, as `--help` has it where there is a flag."""
    check: Check | None = None
    """Of every value but None. Choices of a Literal are checked without one."""
    flag: str | None = None
    """What commands call it, as in `--batch`."""
    gives: Any = None
    """The field's value where the flag is given, of a flag that takes none and a field that is no bool."""


def option(default: Any, help: str, check: Check | None = None, **flag: Any) -> Any:
    """Return a field for a dataclass of settings; see `Option`."""
    return dataclasses.field(default=default, metadata={"option": Option(help, check, **flag)})


def part(kind: type[Any], group: str | None = None) -> Any:
    """Return a field that holds settings of its own; `--help` has their flags under the title `group`."""
    return dataclasses.field(default_factory=kind, metadata={"group": group})


class Setting(NamedTuple):
    """A field that carries an `Option`."""

    name: str
    """Dotted, where it is in a part."""
    hint: Any
    default: Any
    option: Option
    group: str | None


@functools.cache
def settings_of(kind: Any, group: str | None = None) -> tuple[Setting, ...]:
    """Return the fields of a dataclass and of its parts that carry an `Option`, in their order."""
    found: list[Setting] = []
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, about = hints[field.name], field.metadata
        if "option" in about:
            found.append(Setting(field.name, hint, field.default, about["option"], group))
        elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = settings_of(hint, about.get("group") or group)
            found += [one._replace(name=f"{field.name}.{one.name}") for one in inner]
    return tuple(found)


def choices_of(hint: Any) -> tuple[Any, ...]:
    """Return the choices of a Literal, or of one that may be None; nothing for another type."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    return next((typing.get_args(one) for one in parts if typing.get_origin(one) is typing.Literal), ())


class Settings:
    """Base of the dataclasses of settings: their fields check themselves.

    Raises:
        InputError: where a value is not what its field's check, or its choices, ask for.
    """

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, hint, _, about, _ in settings_of(kind):
            if "." in name:
                continue
            value = getattr(self, name)
            if value is None and type(None) in typing.get_args(hint):
                continue
            if choices := choices_of(hint):
                others = ", ".join(repr(choice) for choice in choices[:-1])
                require(value in choices, self, name, f"{others} or {choices[-1]!r}".removeprefix(" or "))
            if about.check:
                require(about.check.holds(value), self, name, about.check.expected)
