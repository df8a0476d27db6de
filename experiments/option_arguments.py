"""Options back into the arguments of a command line that gives them."""

import dataclasses
from typing import Any


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
