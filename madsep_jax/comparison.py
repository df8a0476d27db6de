"""Separators side by side on the same songs, as rows of a table."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from madsep_jax import bss_eval
from madsep_jax.separator import Separator

Row = dict[str, str | int | float]

_TARGETS = ("voice", "accompaniment")


@dataclass(frozen=True, eq=False)
class Song:
    """A song whose voice is known. Samples (N, channels), ±1 being full scale, or int16; the rate is in Hz."""

    name: str
    mixture_NC: np.ndarray
    voice_NC: np.ndarray
    """What is left of the mixture without it is the accompaniment."""
    sample_rate: int


#: From mixture (N, channels) and rate to voice and accompaniment.
Separating = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def compare(
    systems: Mapping[str, Separator | Separating | str | os.PathLike[str]],
    songs: Iterable[Song],
    *,
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Score separators on songs: a row a song and system, the songs of a system together.

    Scores are in dB, by BSSEval v4 in windows of 1 s, of each song the median over its windows: the protocol `sisec18`
    of the ablation, whose table has the median over the songs. A row has `system`, `song`, its `seconds`, the number of
    `windows` with scores, and `voice_sdr_db`, `voice_isr_db`, `voice_sir_db`, `voice_sar_db`, `accompaniment_sdr_db`, …
    (NaN: no window has a score, as where a source is silent throughout). All rows have the same columns, each of one
    type, so `pandas.DataFrame(rows)` and `polars.DataFrame(rows)` take them;
    `pandas.DataFrame(rows).groupby("system").median(numeric_only=True)` is the table.

    >>> import numpy as np
    >>> from madsep_jax import Song, compare
    >>> random = np.random.default_rng(0)
    >>> voice_NC, other_NC = random.uniform(-0.5, 0.5, (2, 8000, 1))
    >>> song = Song("noise", voice_NC + other_NC, voice_NC, sample_rate=4000)
    >>> rows = compare(
    ...     {
    ...         "mad": "runs/quick-embedded/rows/mad-seed0",
    ...         "mixture": lambda mixture_NC, rate: (mixture_NC, mixture_NC),
    ...     },
    ...     [song],
    ... )
    >>> [(row["system"], row["song"], row["windows"]) for row in rows]
    [('mad', 'noise', 2), ('mixture', 'noise', 2)]
    >>> round(rows[1]["voice_sdr_db"], 1)
    0.1

    Args:
        systems: by the names that the rows have: separators, what `Separator.load` takes, or functions from mixture
            (N, channels) and rate to voice and accompaniment.
        songs: each is separated by all systems, and then let go.
        on_row: called with each row when it is there.

    Raises:
        InputError: what is no separator, or a rate for which soxr is not installed.
        ValueError: arrays that are not of one shape (N, channels), or not finite.
    """
    if not systems:
        return []
    separating = {name: _separating(system) for name, system in systems.items()}
    rows: dict[str, list[Row]] = {name: [] for name in systems}
    for song in songs:
        for row in _rows(separating, song):
            rows[str(row["system"])].append(row)
            on_row(row)
    return [row for of_system in rows.values() for row in of_system]


def _separating(system: Separator | Separating | str | os.PathLike[str]) -> Separating:
    if isinstance(system, str | os.PathLike):
        system = Separator.load(system)
    if not isinstance(system, Separator):
        return system
    separator = system

    def separate(mixture_NC: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        stems = separator.separate(mixture_NC, sample_rate)
        return stems.voice_NC, stems.accompaniment_NC

    return separate


def _rows(systems: Mapping[str, Separating], song: Song) -> Iterator[Row]:
    mixture_NC, voice_NC = (
        np.asarray(bss_eval.as_samples(f"{song.name}: {what}", samples), np.float64)
        for what, samples in (("mixture", song.mixture_NC), ("voice", song.voice_NC))
    )
    if mixture_NC.ndim != 2 or voice_NC.shape != mixture_NC.shape:
        found = f"found mixture {mixture_NC.shape} and voice {voice_NC.shape}"
        raise ValueError(f"{song.name}: {found}, expected one shape (N, channels)")
    references_SNC = np.stack([voice_NC, mixture_NC - voice_NC])
    estimates_ESNC = np.stack([np.stack(separate(mixture_NC, song.sample_rate)) for separate in systems.values()])
    of_song = bss_eval.Song.of(references_SNC, estimates_ESNC)
    second, taps = song.sample_rate, bss_eval.FILTER_TAPS
    [ratios] = bss_eval.score_windows([of_song], window=second, hop=second, taps=taps)
    for number, system in enumerate(systems):
        of_system = {metric: ratio_ESW[number] for metric, ratio_ESW in ratios._asdict().items()}
        finite = {metric: np.where(np.isfinite(ratio_SW), ratio_SW, np.nan) for metric, ratio_SW in of_system.items()}
        yield {
            "system": system,
            "song": song.name,
            "seconds": len(mixture_NC) / song.sample_rate,
            "windows": int(np.isfinite(finite["sdr"][0]).sum()),
            **{
                f"{target}_{metric}_db": bss_eval.median(ratio_SW[source])
                for source, target in enumerate(_TARGETS)
                for metric, ratio_SW in finite.items()
            },
        }
