"""Repeated measurements: how often, and in three numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Seconds that the repeats of one measurement may take.
PATIENCE_S = 60.0


def is_due(seconds: Sequence[float]) -> bool:
    """Whether to repeat a measurement that has taken so many seconds each time: once at least, then while it fits."""
    return not seconds or sum(seconds) + seconds[-1] <= PATIENCE_S


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    first_quartile: float
    third_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of one value or more."""
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(median), float(first), float(third))
