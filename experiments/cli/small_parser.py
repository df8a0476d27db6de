"""What `experiments.device_report` needs of Cyclopts, by argparse, for machines on which that is not installed.

Options are the fields of the dataclasses that a command takes; a field's kind is an int, float, str, Path, a Literal, a
tuple of those, one of those or None, or a bool that is a switch. The help has their names and defaults alone.
"""

import argparse
import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any


class CycloptsError(Exception):
    """Arguments that cannot be used."""


class UnknownOptionError(CycloptsError):
    """Never raised: argparse does not tell it from the others."""


class UnusedCliTokensError(CycloptsError):
    """Never raised, likewise."""


class Parameter:
    """How an option is read and shown; of a class of options, nothing."""

    def __init__(self, **about: Any) -> None:
        self.about = about

    def __call__(self, options: Any) -> Any:
        """Return the class."""
        return options


@dataclasses.dataclass(frozen=True)
class Token:
    """One value as it was given."""

    value: str
    keyword: str = ""

    def evolve(self, value: str) -> "Token":
        """Return it with another value."""
        return dataclasses.replace(self, value=value)


def convert(hint: Any, tokens: Sequence[Token]) -> Any:
    """Return values as what a field holds. Raises ValueError where they are not of its kind."""
    if typing.get_origin(hint) is tuple:
        return tuple(convert(typing.get_args(hint)[0], [token]) for token in tokens)
    if typing.get_origin(hint) is typing.Annotated:
        return convert(typing.get_args(hint)[0], tokens)
    value = tokens[-1].value
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise ValueError(f"found {value!r}, expected one of {', '.join(typing.get_args(hint))}")
        return value
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)] or [hint]
    return kinds[0](value)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        raise CycloptsError(message)


class App:
    """One command, without sub-commands."""

    subapps: Sequence["App"] = ()
    version: Any = None
    suppress_keyboard_interrupt = False

    def __init__(self, name: str, usage: str) -> None:
        self.name, self._usage = (name,), usage.removeprefix("Usage: ")
        self._command: Callable[..., Any] | None = None

    def default(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """Take a function as the command."""
        self._command = command
        return command

    def __call__(self, argv: Sequence[str] | None = None, **_: Any) -> Any:
        """Run the command. Raises CycloptsError on arguments that it does not take."""
        assert self._command
        kinds = [one.annotation for one in inspect.signature(self._command).parameters.values()]
        parser = _Parser(self.name[0], self._usage, inspect.getdoc(self._command), allow_abbrev=False)
        for kind in kinds:
            for field in dataclasses.fields(kind):
                _add(parser, field, typing.get_type_hints(kind, include_extras=True)[field.name])
        given = vars(parser.parse_args(sys.argv[1:] if argv is None else argv))
        return self._command(*(_made(kind, given) for kind in kinds))


def _add(parser: _Parser, field: dataclasses.Field[Any], hint: Any) -> None:
    flags = [f"--{field.name.replace('_', '-')}"]
    flags += [value for one in _parameters(hint) if (value := one.about.get("alias"))]
    plain = _plain(hint)
    about = {"default": argparse.SUPPRESS, "help": f"default: {field.default}", "dest": field.name}
    if plain is bool:
        parser.add_argument(*flags, action="store_true", **about)  # type: ignore[arg-type]
    else:
        parser.add_argument(*flags, nargs="+" if typing.get_origin(plain) is tuple else None, **about)  # type: ignore[arg-type]


def _made(kind: Any, given: dict[str, Any]) -> Any:
    values = {}
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in [field.name for field in dataclasses.fields(kind) if field.name in given]:
        values[name] = given[name]
        if not isinstance(values[name], bool):
            words = values[name] if isinstance(values[name], list) else [values[name]]
            read = next((use for one in _parameters(hints[name]) if (use := one.about.get("converter"))), convert)
            try:
                values[name] = read(_plain(hints[name]), [Token(word) for word in words])
            except ValueError as error:
                raise CycloptsError(f"--{name.replace('_', '-')}: {error}") from None
    return kind(**values)


def _parameters(hint: Any) -> list[Parameter]:
    return [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Parameter)]


def _plain(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
