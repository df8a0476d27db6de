"""What a set of systems, scored on the same songs, says of each two of them: as numbers and as sentences."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from experiments.cli.results import Column, Row, Table
from experiments.scoring.differences import LEVEL, Difference, difference, holm

#: The score of each song, in dB by its name; NaN, or no entry, where it has none.
OfSongs: TypeAlias = Mapping[str, float]
#: Of each training of each system, by the system's name.
Trainings: TypeAlias = Mapping[str, Sequence[OfSongs]]

#: Up to so many pairs of systems a terminal and a table have all of them.
MOST_PAIRS = 10


@dataclass(frozen=True)
class NamedDifference:
    """System A less system B. Numbers are None where fewer than two songs have scores of both."""

    metric: str
    target: str
    a: str
    b: str
    songs: int
    seeds: tuple[int, int]
    better_songs: int
    mean_db: float | None
    interval_db: tuple[float, float] | None
    p_value: float | None
    p_holm: float | None
    """Corrected for all pairs that are compared by this metric of this target."""
    visible_db: float | None
    """Of what would have been `found` in about 80 % of cases, the correction included."""
    found: bool
    """Whether there is a difference: the interval leaves 0 out, and the corrected p-value is below 5 %."""


@dataclass(frozen=True)
class Answer:
    """All differences, and a sentence for each pair by the first metric of the first target."""

    differences: Sequence[NamedDifference] = ()
    sentences: Sequence[str] = ()
    against: str | None = None
    """Where the pairs are too many to show, the system whose pairs are: the baseline, or the best one."""

    @property
    def shown(self) -> list[str]:
        """The sentences for a terminal."""
        first = self.differences[: len(self.sentences)]
        chosen = [text for one, text in zip(first, self.sentences, strict=True) if self._is_shown(one)]
        left = len(self.sentences) - len(chosen)
        return chosen + ([f"Each against {self.against}; {left} other pairs are in results.json."] if left else [])

    def _is_shown(self, one: NamedDifference) -> bool:
        return self.against in (None, one.a, one.b)

    def table(self, unit: str) -> Table | None:
        """Return the table of what is shown, the sentences above it; `unit` is what was drawn, as "seed"; else "".

        None where nothing is compared.
        """
        if not self.differences:
            return None
        several = len({one.target for one in self.differences}) > 1
        columns = [
            Column("difference", lambda row: f"{row['a']} − {row['b']}", word=True),
            *([Column("target", "target", word=True)] if several else []),
            Column("metric", "metric", word=True),
            Column("dB [95 %]", _mean_cell, rank=0),
            Column("songs", "songs", rank=2),
            *([Column(f"{unit}s", lambda row: _count(row["seeds"]), rank=2)] if unit else []),
            Column("better on", "better_songs", rank=3),
            Column("p", "p_value", ".2g", rank=3),
            Column("p, corrected", "p_holm", ".2g", rank=1),
            Column("visible (dB)", "visible_db", ".2f", rank=1),
        ]
        rows = [vars(one) for one in self.differences if self._is_shown(one)]
        return Table(columns, rows, _caption(unit), lead="\n".join(f"- {text}" for text in self.shown))


def compare_systems(
    scores: Mapping[tuple[str, str], Trainings],
    baseline: str | None = None,
    unit: str = "",
    *,
    later_first: bool = True,
) -> Answer:
    """Compare each two systems, or each with a baseline, by target and metric, of which `scores` are.

    All have the same systems. A is the later one of a pair, unless `later_first` is taken back, or the one that is not
    the baseline. `unit` is what of a system was drawn, as "seed"; else "".
    """
    differences: list[NamedDifference] = []
    sentences: list[str] = []
    against = baseline
    for (target, metric), trainings in scores.items():
        pairs = _pairs(list(trainings), baseline, later_first)
        found = _compare(trainings, pairs, target, metric)
        differences += found
        if not sentences:
            sentences = [sentence(one, len(pairs), unit) for one in found]
            if baseline is None and len(pairs) > MOST_PAIRS:
                against = _best(trainings)
    return Answer(differences, sentences, against)


def _pairs(systems: Sequence[str], baseline: str | None, later_first: bool) -> list[tuple[str, str]]:
    if baseline is not None:
        return [(system, baseline) for system in systems if system != baseline] if baseline in systems else []
    return [(b, a) if later_first else (a, b) for a, b in itertools.combinations(systems, 2)]


def _compare(trainings: Trainings, pairs: Sequence[tuple[str, str]], target: str, metric: str) -> list[NamedDifference]:
    songs = sorted({song for of_system in trainings.values() for scores in of_system for song in scores})
    arrays = {
        system: np.array([[scores.get(song, math.nan) for song in songs] for scores in of_system])
        for system, of_system in trainings.items()
    }
    found = [difference(arrays[a], arrays[b], len(pairs)) for a, b in pairs]
    corrected = holm([one.p_value if one else None for one in found])
    return [
        _named(target, metric, a, b, arrays, one, p) for (a, b), one, p in zip(pairs, found, corrected, strict=True)
    ]


def _named(
    target: str, metric: str, a: str, b: str, arrays: Mapping[str, np.ndarray], one: Difference | None, p: float | None
) -> NamedDifference:
    if one is None or p is None:
        both_S = np.isfinite(arrays[a]).all(0) & np.isfinite(arrays[b]).all(0)
        seeds = (len(arrays[a]), len(arrays[b]))
        return NamedDifference(metric, target, a, b, int(both_S.sum()), seeds, 0, None, None, None, None, None, False)
    low, high = one.interval_db
    found = (low > 0 or high < 0) and p < 1 - LEVEL
    return NamedDifference(metric, target, a, b, **vars(one), p_holm=p, found=found)


def _best(trainings: Trainings) -> str:
    def mean(system: str) -> float:
        values = [value for scores in trainings[system] for value in scores.values() if math.isfinite(value)]
        return math.fsum(values) / len(values) if values else -math.inf

    return max(trainings, key=mean)


def sentence(one: NamedDifference, pairs: int = 1, unit: str = "") -> str:
    """Say it in a line: how much, how surely, over what, and what could have been seen; one of so many `pairs`."""
    names = f"{one.a} − {one.b}"
    if one.mean_db is None or one.interval_db is None or one.p_holm is None or one.visible_db is None:
        return f"{names}: nothing can be said; {_plural(one.songs, 'song')} with scores of both, where two are needed"
    low, high = one.interval_db
    over = _plural(one.songs, "song")
    if unit:
        over += f" × {_count(one.seeds)} {unit}{'s' if max(one.seeds) > 1 else ''}"
        over += "" if min(one.seeds) > 1 else ", of these trainings only"
    lead = f"{names}: {_signed(one.mean_db)} dB {one.metric} [{_signed(low)}, {_signed(high)}] over {over}"
    if one.found:
        return f"{lead}: {one.a if one.mean_db > 0 else one.b} is better ({_probability(one.p_holm)})"
    if low == high == 0:
        return f"{lead}: no difference, their scores are equal"
    why = ""
    if low > 0 or high < 0:
        why = f" ({_probability(one.p_holm)}" + (f" as one of {pairs} pairs)" if pairs > 1 else ")")
    return f"{lead}: no difference found{why}; one of {_rounded_up(one.visible_db)} dB would have been"


def _caption(unit: str) -> str:
    drawn = f"songs and {unit}s were drawn anew" if unit else "songs were drawn anew"
    once = f" With one {unit} of either system all is about these trainings only." if unit else ""
    return (
        f"Mean over songs of the difference of a song's medians over its windows. In brackets: 95 % interval, as if "
        f"{drawn} (bootstrap).{once} Better on: songs on which the first system is. p: of Student's t, two-sided; "
        f"corrected by Holm's method for all pairs. Visible: the true difference that is found in four of five cases."
    )


def _mean_cell(row: Row) -> str | None:
    if row["mean_db"] is None:
        return None
    low, high = row["interval_db"]
    return f"{_signed(row['mean_db'])} [{_signed(low)}, {_signed(high)}]"


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def _rounded_up(value: float) -> str:
    digits = 1 if value >= 0.1 else 2
    return f"{math.ceil(round(value * 10**digits, 6)) / 10**digits:.{digits}f}"


def _probability(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _count(seeds: Sequence[int]) -> str:
    a, b = seeds
    return f"{a}" if a == b else f"{a} and {b}"
