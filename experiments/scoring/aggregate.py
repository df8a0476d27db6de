"""From the windows of many songs to one number per target and metric, and how sure that number is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.protocols import METRICS, PROTOCOLS, Protocol, Summary
from experiments.scoring.song_scores import SongScores
from madsep_jax.bss_eval import median

Values = dict[str, float]
Interval = tuple[float, float]


@dataclass(frozen=True)
class TargetAggregate:
    """One target over all songs, in dB by metric; NaN where no window of any song has a score."""

    score_db: Values
    """As the protocol has it."""
    interval_db: dict[str, Interval]
    """In which 95 % of `score_db` lie when the songs are drawn anew (bootstrap)."""
    median_db: Values
    """Median over each song's windows, then over songs."""
    all_windows_db: Values
    """Median over all windows of all songs."""
    mean_db: Values
    """Mean over songs of the median over each song's windows."""
    scored_songs: int
    """Songs with at least one valid window; only they enter."""
    windows: int
    valid_windows: int
    """Windows with a finite SDR."""
    silent_windows: int
    """Windows in which a source is silent."""
    nan_windows: int
    """Windows without a finite SDR, the silent ones among them."""


@dataclass(frozen=True)
class Aggregate:
    """The scores of a set of songs; `dataclasses.asdict` turns them into JSON's types."""

    protocol: str
    engine: str
    """Both, joined by " and ", where some songs were scored by another one."""
    window_s: float | None
    """None for whole songs."""
    hop_s: float | None
    songs: int
    targets: dict[str, TargetAggregate]


def aggregate(songs: Sequence[SongScores]) -> Aggregate:
    """Aggregate the scores of songs; what is NaN is left out.

    Raises ValueError for no songs, two of one name, or songs whose protocol, targets, windows or hops differ.
    """
    if not songs:
        raise ValueError("no songs to take the median of")
    names = {song.protocol for song in songs}
    if len(names) > 1:
        raise ValueError(f"songs scored by different protocols: {sorted(names)}")
    protocol = PROTOCOLS[names.pop()]
    lengths = {(song.window_s, song.hop_s) for song in songs}
    if protocol.window_s is not None and len(lengths) > 1:
        raise ValueError(f"songs scored with different (window, hop) in s: {sorted(lengths)}")
    targets = {tuple(song.targets) for song in songs}
    if len(targets) > 1:
        raise ValueError(f"songs scored with different targets: {sorted(targets)}")
    if len({song.track for song in songs}) < len(songs):
        raise ValueError(f"a song is scored twice: {sorted(song.track for song in songs)}")
    window_s, hop_s = (None, None) if protocol.window_s is None else lengths.pop()
    return Aggregate(
        protocol=protocol.name,
        engine=" and ".join(sorted({song.engine for song in songs})),
        window_s=window_s,
        hop_s=hop_s,
        songs=len(songs),
        targets={target: _aggregate_target(songs, target, protocol) for target in songs[0].targets},
    )


def song_score(song: SongScores, target: str, metric: str) -> float:
    """Return one number for a song, the median over its windows; NaN where none has a score."""
    return median(song.targets[target][metric])


def _aggregate_target(songs: Sequence[SongScores], target: str, protocol: Protocol) -> TargetAggregate:
    counts = [song.counts(target) for song in songs]
    windows = {metric: [song.targets[target][metric] for song in songs] for metric in METRICS}

    def by(summary: Summary) -> Values:
        return {metric: summarise(values, summary) for metric, values in windows.items()}

    return TargetAggregate(
        score_db=by(protocol.summary),
        interval_db={metric: interval(values, protocol.summary) for metric, values in windows.items()},
        median_db=by("median of medians"),
        all_windows_db=by("median of all windows"),
        mean_db=by("mean of songs"),
        scored_songs=sum(count.valid > 0 for count in counts),
        windows=sum(count.windows for count in counts),
        valid_windows=sum(count.valid for count in counts),
        silent_windows=sum(count.silent for count in counts),
        nan_windows=sum(count.nan for count in counts),
    )


def summarise(windows: Sequence[np.ndarray], summary: Summary) -> float:
    """Return one number for the windows of many songs."""
    if summary == "median of all windows":
        return median(np.concatenate(windows))
    songs = np.array([median(values_W) for values_W in windows])
    if summary == "median of medians":
        return median(songs)
    valid = songs[~np.isnan(songs)]
    return float(valid.mean()) if valid.size else math.nan


_RESAMPLES = 2000
_SEED = 0
_LEVEL = 0.95

#: Values that are drawn at a time.
_AT_A_TIME = 4_000_000


def interval(windows: Sequence[np.ndarray], summary: Summary) -> Interval:
    """Return the 95 % interval of a summary over songs, of each of which the scores (W,) in dB stay together.

    The seed is fixed: the same scores have the same interval. NaN where no song has a score.

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
    return interval_of(padded_SW, lambda drawn_RSW, axis: np.nanmedian(drawn_RSW, axis=(axis, 2)))


def interval_of(values_SX: np.ndarray, statistic: Callable[..., np.ndarray]) -> Interval:
    """Return the 95 % interval of a statistic of songs: it takes drawn ones (R, S, …) and `axis=1`; returns (R,)."""
    random = np.random.default_rng(_SEED)
    drawn_RS = random.integers(0, len(values_SX), (_RESAMPLES, len(values_SX)))
    step = max(_AT_A_TIME // values_SX.size, 1)
    found_R = np.concatenate(
        [statistic(values_SX[drawn_RS[first : first + step]], axis=1) for first in range(0, _RESAMPLES, step)]
    )
    low, high = np.quantile(found_R, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
