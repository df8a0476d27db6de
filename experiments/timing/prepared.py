"""What is ready to be timed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One way of doing a case's work, compiled and loaded, its data on the device."""

    run: Callable[[], object]
    """Do one step; returns when it is done."""
    forward_output: Callable[[], np.ndarray] | None = None
    """Return voice_BTF of the case's batch; in forward mode alone."""
    compile_s: float | None = None
    """From the function to the executable."""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes, by what they are for; `peak` is all that is in use at once."""
    program_text: Callable[[], str] = str
    """Return XLA's compiled program."""
    accessed_bytes: float | None = None
    """Memory traffic by XLA's count, in which the body of a loop counts once."""


class UnequalOutputsError(Exception):
    """Two sides of a comparison compute different things."""
