"""Kinds of options that Cyclopts does not have by itself, options made of a config, and options back into arguments."""

import dataclasses
import json
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform

from cyclopts import Parameter, Token

from madsep_jax.config.fields import Setting, settings_of
from madsep_jax.config.io import override
from madsep_jax.errors import InputError

Config = TypeVar("Config")

Content = TypeVar("Content")

Options = TypeVar("Options", bound="OptionsOf[Any]")


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Refuse fractions, which would be rounded otherwise."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"found {tokens[0].value!r}, expected a whole number") from None


Whole = Parameter(converter=_whole)
Many = Parameter(consume_multiple=True, negative=())
ManyOrNone = Parameter(consume_multiple=True, negative=(), show_default=False)

Switch = Parameter(negative=(), show_default=False)
Out = Parameter(alias="-o")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def option_class(options: type[Content]) -> type[Content]:
    """Make a class a frozen dataclass, each of whose fields is an option of a command."""
    return Parameter(name="*")(dataclasses.dataclass(frozen=True, kw_only=True)(options))


class OptionsOf(Generic[Config]):
    """Base of the options that are made of a config's fields; one that is not given is None, or False for a switch."""

    kind: ClassVar[Any]
    settings: ClassVar[dict[str, Setting]]
    """By the options' names."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            about = self.settings[name].option
            if about.refused and about.check and value is not None and not about.check.holds(value):
                raise InputError(f"{about.flag}: found {value!r}, expected {about.refused}")

    def given(self) -> dict[str, Any]:
        """Return the fields of the config that were given, by their dotted names."""
        given = {name: value for name, value in vars(self).items() if value is not None and value is not False}
        settings = self.settings
        return {settings[name].name: settings[name].option.gives or value for name, value in given.items()}

    def config(self) -> Config:
        """Return the config, with its defaults where nothing was given. Raises InputError where it refuses a value."""
        return override(self.kind(), self.given())


def options_of(
    kind: Any, group: str | None = None, over_preset: bool = False
) -> Callable[[type[Options]], type[Options]]:
    """Give a class of options one for each field of a config, or of its parts, that has a flag.

    Args:
        kind: of the config.
        group: title of the options in `--help`, but for parts that have their own.
        over_preset: the defaults are those of a preset: `--help` shows the config's only where the text has none.
    """
    found = [setting for setting in settings_of(kind, group) if setting.option.flag]

    def make(options: type[Options]) -> type[Options]:
        options.kind = kind
        options.settings = {_name(setting): setting for setting in found}
        options.__annotations__ = {name: _annotation(one, over_preset) for name, one in options.settings.items()}
        for name, setting in options.settings.items():
            setattr(options, name, False if _is_switch(setting) else None)
        return option_class(options)

    return make


def _name(setting: Setting) -> str:
    return str(setting.option.flag).removeprefix("--").replace("-", "_")


def _is_switch(setting: Setting) -> bool:
    return setting.hint is bool or setting.option.gives is not None


def _annotation(setting: Setting, over_preset: bool) -> Any:
    """Return the type of an option as Cyclopts reads it."""
    about = [Parameter(help=setting.option.help)]
    about += [Parameter(group=setting.group)] if setting.group else []
    if _is_switch(setting):
        return Annotated[bool, Switch, *about]
    about += [Whole] if int in (setting.hint, *typing.get_args(setting.hint)) else []
    hides = setting.default is None or (over_preset and "Default:" in setting.option.help)
    shown = Parameter(show_default=False if hides else lambda _: str(setting.default))
    return Annotated[setting.hint | None, *about, shown]


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
