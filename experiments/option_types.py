"""Kinds of options that Cyclopts does not have by itself."""

from collections.abc import Sequence

from cyclopts import Parameter, Token


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Refuse fractions, which would be rounded otherwise."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"found {tokens[0].value!r}, expected a whole number") from None


Whole = Parameter(converter=_whole)
Many = Parameter(consume_multiple=True, negative=())
ManyOrNone = Parameter(consume_multiple=True, negative=(), show_default=False)
