"""The nearest valid name to one that was mistyped."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """End of an error line: the nearest of the valid names, or all of them where none is near."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(valid)}"
