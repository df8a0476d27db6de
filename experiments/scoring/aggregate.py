"""From the windows of many songs to one number per target and metric: SiSEC 2018's protocol."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.museval_engine import METRICS
from experiments.scoring.song_scores import TARGETS, SongScores


@dataclass(frozen=True)
class TargetAggregate:
    """One target over all songs. `median_db[metric]` is NaN where no window of any song has a score."""

    median_db: dict[str, float]
    scored_songs: int
    """Songs with at least one valid window; only they enter the medians."""
    windows: int
    valid_windows: int
    """Windows with a finite SDR."""
    nan_windows: int


@dataclass(frozen=True)
class Aggregate:
    """The scores of a set of songs; `dataclasses.asdict` turns them into JSON's types."""

    protocol: str
    window_s: float
    hop_s: float
    songs: int
    targets: dict[str, TargetAggregate]


def sisec18(songs: Sequence[SongScores]) -> Aggregate:
    """Take the median over each song's windows, then over the songs; what is NaN is left out of either.

    Raises ValueError where there are no songs, two have the same name, or their windows or hops differ.

    Source: Stöter, Liutkus and Ito, The 2018 Signal Separation Evaluation Campaign, 2018 (arXiv:1804.06267);
    museval's EvalStore does the same by default.
    """
    if not songs:
        raise ValueError("no songs to take the median of")
    lengths = {(song.window_s, song.hop_s) for song in songs}
    if len(lengths) > 1:
        raise ValueError(f"songs scored with different (window, hop) in s: {sorted(lengths)}")
    if len({song.track for song in songs}) < len(songs):
        raise ValueError(f"a song is scored twice: {sorted(song.track for song in songs)}")
    [(window_s, hop_s)] = lengths
    return Aggregate(
        protocol="sisec18",
        window_s=window_s,
        hop_s=hop_s,
        songs=len(songs),
        targets={target: _aggregate_target(songs, target) for target in TARGETS},
    )


def _aggregate_target(songs: Sequence[SongScores], target: str) -> TargetAggregate:
    counts = [song.counts(target) for song in songs]
    return TargetAggregate(
        median_db={metric: _median([_median(song.targets[target][metric]) for song in songs]) for metric in METRICS},
        scored_songs=sum(count.valid > 0 for count in counts),
        windows=sum(count.windows for count in counts),
        valid_windows=sum(count.valid for count in counts),
        nan_windows=sum(count.nan for count in counts),
    )


def _median(values: Sequence[float] | np.ndarray) -> float:
    """Median of the values that are not NaN; NaN, without NumPy's warning, where there are none."""
    values = np.asarray(values, np.float64)
    valid = values[~np.isnan(values)]
    return float(np.median(valid)) if valid.size else math.nan
