"""Configs to and from JSON, and one-field overrides by dotted name."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from madsep_jax.config.maskers import KINDS, MaskerConfig
from madsep_jax.errors import InputError, did_you_mean

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as nested dictionaries of JSON values."""
    return dataclasses.asdict(config, dict_factory=_json_object)


def to_flat(config: Any) -> dict[str, Any]:
    """Return a config's fields as JSON values by their dotted names."""
    from flax import traverse_util  # which imports JAX

    return traverse_util.flatten_dict(to_dict(config), sep=".")


def from_dict(config_type: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """Build a config from nested dictionaries, for instance read from JSON. Absent fields take their default.

    Raises:
        InputError: on an unknown field (the nearest valid name is given), a value of the wrong type, or a value that
            the config itself refuses.
    """
    where = where or config_type.__name__
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: found {values!r}, expected an object with named fields")
    hints = _hints(config_type)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]!r}, {did_you_mean(unknown[0], hints)}")
    return config_type(**{name: as_field(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return the config with some fields replaced, each named by its dotted path, as in `training.batch_size`.

    Raises:
        InputError: on an unknown field (the nearest valid name is given) or a value that the config refuses.
    """
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    hints = _hints(type(config))
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if name not in hints or (rest and not dataclasses.is_dataclass(getattr(config, name))):
            raise InputError(f"{type(config).__name__}: unknown field {path!r}, {did_you_mean(name, hints)}")
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            values[name] = as_field(hints[name], value, f"{type(config).__name__}.{name}")
    # All fields of one config change at once: one alone may not fit the others' old values.
    values |= {name: override(values.get(name, getattr(config, name)), parts) for name, parts in inner.items()}
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def differences(base: Any, other: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the leaf fields in which two configs differ: dotted path to (value in base, value in other)."""
    if dataclasses.is_dataclass(base) and type(base) is type(other):
        found: dict[str, tuple[Any, Any]] = {}
        for field in dataclasses.fields(base):
            path = f"{prefix}.{field.name}" if prefix else field.name
            found |= differences(getattr(base, field.name), getattr(other, field.name), path)
        return found
    return {} if base == other else {prefix: (base, other)}


def _json_object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields}


def _hints(config_type: type) -> dict[str, Any]:
    hints = typing.get_type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


def as_field(hint: Any, value: Any, where: str) -> Any:
    """Return a JSON value as what a field of this type holds. Raises InputError, naming `where`, where it is none."""
    choices = typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, typing.cast(type, hint)):
        return value
    if hint is MaskerConfig:
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if kind not in KINDS:
            raise InputError(f"{where}.kind: found {kind!r}, {did_you_mean(str(kind), KINDS)}")
        return from_dict(KINDS[kind], value, where)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if value is None and type(None) in choices:
            return None
        return as_field(next(choice for choice in choices if choice is not type(None)), value, where)
    if typing.get_origin(hint) is typing.Literal:
        if value in choices:
            return value
        raise InputError(f"{where}: found {value!r}, {did_you_mean(str(value), map(str, choices))}")
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(as_field(choices[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where}: found {value!r}, expected {hint.__name__}")
    return value
