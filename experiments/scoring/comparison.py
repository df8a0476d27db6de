"""Two systems, song by song: whether one is better, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.aggregate import interval_of, song_score
from experiments.scoring.song_scores import SongScores


@dataclass(frozen=True)
class Comparison:
    """One target and metric of system A less that of system B, over the songs that both have scores of."""

    target: str
    metric: str
    songs: int
    better_songs: int
    """Songs on which A is better."""
    median_difference_db: float | None
    mean_difference_db: float | None
    interval_db: tuple[float, float] | None
    """95 % bootstrap interval of the mean difference."""
    p_value: float | None
    """Two-sided, of Wilcoxon's signed-rank test that the differences lie symmetrically around 0. None without songs,
    and where all are equal."""


def compare(a: Sequence[SongScores], b: Sequence[SongScores], target: str, metric: str) -> Comparison:
    """Compare two systems, scored by the same protocol, by one number a song, the median over its windows.

    Source: F. Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1(6), 1945.
    """
    from scipy import stats  # takes half a second to import

    of_b = {song.track: song for song in b}
    pairs = [
        song_score(song, target, metric) - song_score(of_b[song.track], target, metric)
        for song in a
        if song.track in of_b
    ]
    difference_S = np.array([pair for pair in pairs if np.isfinite(pair)])
    if not difference_S.size:
        return Comparison(target, metric, 0, 0, None, None, None, None)
    unequal_S = difference_S[difference_S != 0]  # as Wilcoxon does
    return Comparison(
        target,
        metric,
        songs=difference_S.size,
        better_songs=int((difference_S > 0).sum()),
        median_difference_db=float(np.median(difference_S)),
        mean_difference_db=float(difference_S.mean()),
        interval_db=interval_of(difference_S, np.mean),
        p_value=float(stats.wilcoxon(unequal_S).pvalue) if unequal_S.size else None,
    )
