"""Fields of the configuration as they are given to a command: NAME=VALUE."""

import json
from typing import Any

from madsep_jax.errors import InputError


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return name and value: the value as JSON where it is some, else as text. Raises InputError without a `=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: expected NAME=VALUE, as in training.learning_rate=0.0003")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
