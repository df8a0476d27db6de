"""Whether two systems differ, by what their trainings scored on the same songs: how much, how surely, what was visible.

The score of a training on a song is taken as system + song + training + rest, songs and trainings drawn at random and
independently of each other. What songs do to both systems alike cancels; what is left of the difference of two means
has three sources, whose variances are estimated from the means of songs, of A's trainings and of B's (the rest is in
each of them, and counted once). So a difference counts as one between systems, and not between the few trainings
that there are.

Sources: the variance, with its degrees of freedom: F. E. Satterthwaite, An Approximate Distribution of Estimates of
Variance Components, Biometrics Bulletin 2(6), 1946. The bootstrap that draws songs and trainings, each anew: A. B.
Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 1(2), 2007; its widening where there are few of either: T.
C. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69(4), 2015 ("expanded
percentile interval").
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_RESAMPLES = 2000
_SEED = 0
LEVEL = 0.95
#: With which a true difference of `Difference.visible_db` is found.
POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """The mean score of system A less that of system B."""

    songs: int
    """On which all trainings of both have a score; only they enter."""
    seeds: tuple[int, int]
    """Trainings of A and of B."""
    mean_db: float
    interval_db: tuple[float, float]
    """In which the difference of the systems lies, in 95 % of such comparisons. With one training of each, the
    difference of these two trainings."""
    p_value: float
    """Two-sided, of Student's t with Satterthwaite's degrees of freedom; with one training of each the paired t-test
    over songs."""
    visible_db: float
    """The smallest true difference that so many songs and seeds show in 80 % of cases at p < 0.05."""

    @property
    def found(self) -> bool:
        """Whether the interval leaves 0 out."""
        low, high = self.interval_db
        return low > 0 or high < 0


def difference(a_ES: np.ndarray, b_ES: np.ndarray) -> Difference | None:
    """Compare two systems' scores in dB, of E trainings each (their numbers may differ) on the same S songs.

    NaN is a song without a score. None where fewer than two songs have all scores: then nothing can be said.
    """
    has_all_S = np.isfinite(a_ES).all(0) & np.isfinite(b_ES).all(0)
    a_ES, b_ES = a_ES[:, has_all_S], b_ES[:, has_all_S]
    songs = a_ES.shape[1]
    if songs < 2:
        return None
    song_S = a_ES.mean(0) - b_ES.mean(0)
    mean = float(song_S.mean())
    spread = _spread(song_S, a_ES, b_ES)
    if spread.deviation == 0:
        p_value = 1.0 if mean == 0 else 0.0
        return Difference(songs, (len(a_ES), len(b_ES)), mean, (mean, mean), p_value, 0.0)
    from scipy import stats  # takes half a second to import

    student = stats.t(spread.freedom)
    low, high = _bootstrap_quantiles(song_S, a_ES, b_ES)
    widening = spread.deviation * float(student.ppf((1 + LEVEL) / 2))
    return Difference(
        songs=songs,
        seeds=(len(a_ES), len(b_ES)),
        mean_db=mean,
        interval_db=(mean + low * widening, mean + high * widening),
        p_value=float(2 * student.sf(abs(mean) / spread.deviation)),
        visible_db=spread.deviation * float(student.ppf((1 + LEVEL) / 2) + student.ppf(POWER)),
    )


class _Spread(NamedTuple):
    deviation: float
    """Standard deviation of the mean difference."""
    freedom: float
    """How many degrees of freedom its estimate has."""


def _spread(song_S: np.ndarray, a_ES: np.ndarray, b_ES: np.ndarray) -> _Spread:
    songs = song_S.size
    parts = [(float(song_S.var(ddof=1)) / songs, songs - 1)]
    rest = 0.0
    for scores_ES in (a_ES, b_ES):
        trainings = len(scores_ES)
        if trainings > 1:
            parts.append((float(scores_ES.mean(1).var(ddof=1)) / trainings, trainings - 1))
            rest += _rest(scores_ES) / (songs * trainings)
    largest = max(variance for variance, _ in parts)
    variance = max(sum(variance for variance, _ in parts) - rest, largest)
    if variance == 0:
        return _Spread(0.0, songs - 1)
    return _Spread(math.sqrt(variance), variance**2 / sum(one**2 / freedom for one, freedom in parts))


def _rest(scores_ES: np.ndarray) -> float:
    """Return the variance of what neither song nor training explains."""
    trainings, songs = scores_ES.shape
    left_ES = scores_ES - scores_ES.mean(0) - scores_ES.mean(1, keepdims=True) + scores_ES.mean()
    return float(np.square(left_ES).sum()) / ((trainings - 1) * (songs - 1))


def _bootstrap_quantiles(song_S: np.ndarray, a_ES: np.ndarray, b_ES: np.ndarray) -> tuple[float, float]:
    """Return the lower and upper end of the bootstrapped deviations from the mean, normal ones being at -1 and 1.

    The seed is fixed: the same scores have the same interval.
    """
    random = np.random.default_rng(_SEED)
    deviation_R = np.zeros(_RESAMPLES)
    for mean_X, sign in ((song_S, 1), (a_ES.mean(1), 1), (b_ES.mean(1), -1)):
        if mean_X.size > 1:
            drawn_RX = random.integers(0, mean_X.size, (_RESAMPLES, mean_X.size))
            few = math.sqrt(mean_X.size / (mean_X.size - 1))
            deviation_R += sign * few * (mean_X[drawn_RX].mean(1) - mean_X.mean())
    low, high = np.quantile(deviation_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    normal = 1.959964 * float(deviation_R.std())
    return float(low) / normal, float(high) / normal
