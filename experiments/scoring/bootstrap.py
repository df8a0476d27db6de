"""How sure a number over songs is: percentile intervals over songs that are drawn anew."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from experiments.scoring.protocols import Summary

_RESAMPLES = 2000
_SEED = 0
_LEVEL = 0.95
#: Values that are drawn at a time.
_AT_A_TIME = 4_000_000

Interval = tuple[float, float]


def interval(windows: Sequence[np.ndarray], summary: Summary) -> Interval:
    """Return the 95 % interval of a summary over songs; the windows of a song stay together.

    The seed is fixed: the same scores have the same interval. NaN where no song has a score.

    Args:
        windows: of each song the scores (W,) in dB, NaN where there are none.
        summary: by which they become one number.

    Source: B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile interval).
    """
    scored = [values_W[~np.isnan(values_W)] for values_W in windows]
    scored = [values_W for values_W in scored if values_W.size]
    if not scored:
        return math.nan, math.nan
    if summary != "median of all windows":
        song_S = np.array([np.median(values_W) for values_W in scored])
        return interval_of(song_S, np.median if summary == "median of medians" else np.mean)
    longest = max(values_W.size for values_W in scored)
    padded_SW = np.full((len(scored), longest), np.nan)
    for song_W, values_W in zip(padded_SW, scored, strict=True):
        song_W[: values_W.size] = values_W
    return interval_of(padded_SW, _median_of_all)


def interval_of(values_SX: np.ndarray, statistic: Callable[..., np.ndarray]) -> Interval:
    """Return the 95 % interval of a statistic of the first axis.

    Args:
        values_SX: one entry a song.
        statistic: takes drawn entries (R, S, …) and `axis=1`; returns (R,).
    """
    random = np.random.default_rng(_SEED)
    drawn_RS = random.integers(0, len(values_SX), (_RESAMPLES, len(values_SX)))
    step = max(_AT_A_TIME // values_SX.size, 1)
    found_R = np.concatenate(
        [statistic(values_SX[drawn_RS[first : first + step]], axis=1) for first in range(0, _RESAMPLES, step)]
    )
    low, high = np.quantile(found_R, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _median_of_all(values_RSW: np.ndarray, axis: int) -> np.ndarray:
    assert axis == 1
    return np.nanmedian(values_RSW.reshape(len(values_RSW), -1), axis=1)
