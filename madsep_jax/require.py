"""The check behind every field of a configuration."""

from madsep_jax.errors import InputError


def require(condition: bool, owner: object, name: str, expected: str) -> None:
    """Raise InputError, naming the field, what it holds and what was expected, unless the condition holds."""
    if not condition:
        found = getattr(owner, name)
        raise InputError(f"{type(owner).__name__}.{name}: found {found!r}, expected {expected}")
