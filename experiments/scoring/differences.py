"""Whether two systems differ, by what their trainings scored on the same songs: how much, how surely, what was visible.

The score of a training on a song is taken as system + song + training + rest, songs and trainings drawn at random and
independently of each other. What songs do to both systems alike cancels; what is left of the difference of two means
has three sources, whose variances are estimated: the songs, A's trainings and B's. So a difference counts as one
between systems, and not between the few trainings that there are. What trainings of one seed have in common in both
systems makes intervals wider than they need be, never narrower.

Sources: the variance's degrees of freedom: F. E. Satterthwaite, An Approximate Distribution of Estimates of Variance
Components, Biometrics Bulletin 2(6), 1946. The bootstrap that draws songs and trainings, each anew: A. B. Owen, The
Pigeonhole Bootstrap, Annals of Applied Statistics 1(2), 2007, which counts the rest three times; its width is therefore
that of the variance. The widening where there are few of either: T. C. Hesterberg, What Teachers Should Know About the
Bootstrap, The American Statistician 69(4), 2015 ("expanded percentile interval"). What would have been visible: H. S.
Bloom, Minimum Detectable Effects: A Simple Way to Report the Statistical Power of Experimental Designs, Evaluation
Review 19(5), 1995.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000
_SEED = 0
LEVEL = 0.95
#: With which a true difference of `Difference.visible_db` is found.
POWER = 0.8
_NORMAL = 1.959964  # the quantile of a normal distribution, in standard deviations


@dataclass(frozen=True)
class Difference:
    """The mean score of system A less that of system B."""

    songs: int
    """On which all trainings of both have a score; only they enter."""
    seeds: tuple[int, int]
    """Trainings of A and of B. With a single one of either, all is about these trainings, whatever others do."""
    better_songs: int
    """On which A's mean over its trainings is above B's."""
    mean_db: float
    interval_db: tuple[float, float]
    """In which the difference of the systems lies, in 95 % of such comparisons."""
    p_value: float
    """Two-sided, of Student's t of the difference song by song; with a single training of each, the paired t-test."""
    visible_db: float
    """The smallest true difference that so many songs and seeds show in about 80 % of cases."""


def difference(a_ES: np.ndarray, b_ES: np.ndarray, tests: int = 1) -> Difference | None:
    """Compare two systems' scores in dB, of E trainings each (their numbers may differ) on the same S songs.

    NaN is a song without a score. None where fewer than two songs have all scores: then nothing can be said. Where this
    is one of several `tests`, what is visible is what shows all the same.
    """
    has_all_S = np.isfinite(a_ES).all(0) & np.isfinite(b_ES).all(0)
    a_ES, b_ES = a_ES[:, has_all_S], b_ES[:, has_all_S]
    song_S = a_ES.mean(0) - b_ES.mean(0)
    if song_S.size < 2:
        return None
    mean = float(song_S.mean())
    deviation, freedom = _spread(a_ES, b_ES)
    low = high = visible = 0.0
    p_value = 1.0 if mean == 0 else 0.0
    if deviation > 0:
        from scipy import special  # takes a while to import

        low, high = _bootstrap_quantiles(a_ES, b_ES) * deviation * special.stdtrit(freedom, (1 + LEVEL) / 2)
        p_value = 2 * special.stdtr(freedom, -abs(mean) / deviation)
        threshold = special.stdtrit(freedom, 1 - (1 - LEVEL) / 2 / tests)
        visible = deviation * (threshold + special.stdtrit(freedom, POWER))
    return Difference(
        songs=song_S.size,
        seeds=(len(a_ES), len(b_ES)),
        better_songs=int((song_S > 0).sum()),
        mean_db=mean,
        interval_db=(float(mean + low), float(mean + high)),
        p_value=float(p_value),
        visible_db=float(visible),
    )


def _spread(a_ES: np.ndarray, b_ES: np.ndarray) -> tuple[float, float]:
    """Return the standard deviation of the mean difference, and the degrees of freedom of its estimate.

    The songs' part of the variance has the rest in it. It is in the spread of the trainings' means as well, and taken
    off there; where nothing is left, trainings are taken not to differ. At least as many degrees of freedom remain as
    the part has that has the fewest, as in a sum of variances from which nothing is taken.
    """
    song_S = a_ES.mean(0) - b_ES.mean(0)
    variance = float(song_S.var(ddof=1)) / song_S.size
    fewest = song_S.size - 1
    uncertainty = variance**2 / fewest
    for scores_ES in _varied(a_ES, b_ES):
        trainings = len(scores_ES)
        of_means = float(scores_ES.mean(1).var(ddof=1)) / trainings
        of_trainings = of_means - _rest(scores_ES) / scores_ES.size
        if of_trainings > 0:
            variance += of_trainings
            uncertainty += of_means**2 / (trainings - 1)
            fewest = min(fewest, trainings - 1)
    return math.sqrt(variance), max(variance**2 / uncertainty, fewest) if uncertainty else 1.0


def _varied(a_ES: np.ndarray, b_ES: np.ndarray) -> list[np.ndarray]:
    """Return the systems whose trainings stand for others: both, or none where one has a single training."""
    return [a_ES, b_ES] if min(len(a_ES), len(b_ES)) > 1 else []


def _rest(scores_ES: np.ndarray) -> float:
    """Return the variance of what neither song nor training explains."""
    trainings, songs = scores_ES.shape
    left_ES = scores_ES - scores_ES.mean(0) - scores_ES.mean(1, keepdims=True) + scores_ES.mean()
    return float(np.square(left_ES).sum()) / ((trainings - 1) * (songs - 1))


def _bootstrap_quantiles(a_ES: np.ndarray, b_ES: np.ndarray) -> np.ndarray:
    """Return the lower and upper end of the bootstrapped deviations from the mean, normal ones being at -1 and 1."""
    songs_RS = _drawn(a_ES.shape[1], 2)
    if _varied(a_ES, b_ES):
        a_R, b_R = ((songs_RS @ one.T * _drawn(len(one), which)).sum(1) for which, one in enumerate((a_ES, b_ES)))
    else:
        a_R, b_R = songs_RS @ a_ES.mean(0), songs_RS @ b_ES.mean(0)
    mean_R = a_R - b_R
    deviation_R = mean_R - (a_ES.mean() - b_ES.mean())
    ends = np.quantile(deviation_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    spread = float(deviation_R.std())
    return ends / (_NORMAL * spread) if spread else np.array([-1.0, 1.0])


@functools.lru_cache(maxsize=64)
def _drawn(count: int, which: int) -> np.ndarray:
    """Return the weights (R, count) of things drawn anew; the seed is fixed: the same scores have the same interval.

    `which` tells apart A's trainings, B's and the songs, which are drawn independently.
    """
    random = np.random.default_rng((_SEED, which))
    return random.multinomial(count, np.full(count, 1 / count), _RESAMPLES) / count


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values of several tests, corrected so that one below α among them is there by chance in α of all cases.

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. of Statistics 6(2), 1979.
    """
    found = sorted(value for value in p_values if value is not None)
    corrected = np.maximum.accumulate([value * (len(found) - rank) for rank, value in enumerate(found)])
    of_value = dict(zip(found, np.minimum(corrected, 1).tolist(), strict=True))
    return [None if value is None else of_value[value] for value in p_values]
