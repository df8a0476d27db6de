"""Kinds of options that Cyclopts does not have by itself, options made of a config, and options back into arguments."""

import dataclasses
import json
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform

from experiments.cli.parser import Parameter, Token, convert
from madsep_jax.config.fields import Setting, settings_of
from madsep_jax.config.io import override
from madsep_jax.config.own import is_own
from madsep_jax.config.presets import PRESETS
from madsep_jax.config.systems import ALL
from madsep_jax.config.training import Which
from madsep_jax.errors import InputError

Config = TypeVar("Config")
Content = TypeVar("Content")
Options = TypeVar("Options", bound="OptionsOf[Any]")


def _whole(kind: Any, tokens: Sequence[Token]) -> int | tuple[int, ...]:
    """Refuse fractions, which would be rounded otherwise."""
    numbers = []
    for token in tokens:
        try:
            numbers.append(int(token.value))
        except ValueError:
            name = f"{token.keyword}: " if tokens[1:] else ""  # of several values, Cyclopts would not say of what
            raise ValueError(f"{name}found {token.value!r}, expected a whole number") from None
    return tuple(numbers) if typing.get_origin(kind) is tuple else numbers[0]


def in_any_case(*names: str) -> Parameter:
    """Return what has an option take these names in capitals or not, and others as they are."""
    by_lower = {name.lower(): name for name in names}

    def converted(hint: Any, tokens: Sequence[Token]) -> Any:
        return convert(hint, [token.evolve(value=by_lower.get(token.value.lower(), token.value)) for token in tokens])

    return Parameter(converter=converted)


def _system(hint: Any, tokens: Sequence[Token]) -> Any:
    """All names are in small letters, but one, and but those of files and classes."""
    names = [token.value if is_own(token.value) else token.value.lower() for token in tokens]
    names = [ALL if name.upper() == ALL else name for name in names]
    return convert(hint, [token.evolve(value=name) for token, name in zip(tokens, names, strict=True)])


Systems = Parameter(converter=_system)
Preset = Annotated[str, in_any_case(*PRESETS)]
Whole = Parameter(converter=_whole)
Many = Parameter(consume_multiple=(1, None), negative=())
ManyOrNone = Parameter(consume_multiple=(1, None), negative=(), show_default=False)
Switch = Parameter(negative=(), show_default=False)
Out = Parameter(alias="-o")

WhichWeights = Annotated[
    Which | None,
    Parameter(
        help="Which weights of a checkpoint: latest, of the last step, or best, by the score of its training. Default: "
        "those of the ablation's table, the best where its validation may end a training, else the latest.",
        show_default=False,
    ),
]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def option_class(options: type[Content]) -> type[Content]:
    """Make a class a frozen dataclass, each of whose fields is an option of a command.

    Choices are taken in capitals or not.
    """
    for name, hint in vars(options).get("__annotations__", {}).items():
        if typing.get_origin(hint) is not typing.ClassVar and (choices := _choices(hint)):
            options.__annotations__[name] = Annotated[hint, in_any_case(*choices)]
    return Parameter(name="*")(dataclasses.dataclass(frozen=True, kw_only=True)(options))


def _choices(hint: Any) -> list[str]:
    """Return the choices of a Literal, also of one within another type; nothing for another type."""
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    return [choice for part in typing.get_args(hint) for choice in _choices(part)]


_ACCEPT = "Take a masker of your own as its file is now, also where it has changed since the training."
AcceptChanged = Annotated[bool, Switch, Parameter(help=_ACCEPT)]


@option_class
class CodeOptions:
    """Which code the command may run."""

    code: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Files (my_masker.py) or modules (my_package.module) of maskers of your own, for checkpoints of such. They are
    run."""

    accept_changed_source: AcceptChanged = False

    def load(self) -> None:
        """Run it. Raises InputError where there is no such code."""
        from madsep_jax.models.outside import load_code  # which imports JAX

        for one in self.code:
            load_code(one, self.accept_changed_source)


class OptionsOf(Generic[Config]):
    """Base of the options that are made of a config's fields; one that is not given is None, or False for a switch."""

    kind: ClassVar[Any]
    settings: ClassVar[dict[str, Setting]]
    """By the options' names."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            about = self.settings[name].option
            given = value is not None and not isinstance(value, bool)
            if given and about.check and not about.check.holds(value):
                raise InputError(f"{about.flag}: found {value!r}, expected {about.check.expected}")

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
    """Give a class of options one for each field of a kind of config, or of its parts, that has a flag.

    `--help` has them under the title `group`, but for parts that have their own. Where the defaults are those of a
    preset (`over_preset`), it shows the config's only where the text has none.
    """
    found = {flag: setting for setting in settings_of(kind, group) if (flag := setting.option.flag)}

    def make(options: type[Options]) -> type[Options]:
        options.kind = kind
        options.settings = {flag.removeprefix("--").replace("-", "_"): setting for flag, setting in found.items()}
        options.__annotations__ = {name: _annotation(one, over_preset) for name, one in options.settings.items()}
        for name, setting in options.settings.items():
            setattr(options, name, False if _is_switch(setting) else None)
        return option_class(options)

    return make


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


def require_at_least(options: object, **least: float) -> None:
    """Raise InputError where one of these options is given and less."""
    for name, value in least.items():
        found = getattr(options, name)
        if found is not None and not found >= value:
            raise InputError(f"{flag(name)}: found {found}, expected at least {value}")


def require_positive(options: object, *names: str) -> None:
    """Raise InputError unless these options are more than 0."""
    for name in names:
        if not getattr(options, name) > 0:
            raise InputError(f"{flag(name)}: found {getattr(options, name)}, expected a positive number")


def flag(name: str) -> str:
    """Return an option as it is given."""
    return f"--{name.replace('_', '-')}"


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

    The fields of the dataclass are options by their names, those of a dataclass within it as well.
    """
    arguments: list[str] = []
    for field in dataclasses.fields(options):
        value, given = getattr(options, field.name), flag(field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(value):
            arguments += arguments_of(value)
        elif isinstance(value, bool):
            arguments += [given] if value and not default else []
        elif value != default:
            arguments += [f"{given}={part}" for part in (value if isinstance(value, tuple) else [value])]
    return arguments
