"""What an evaluation writes for its reader: a table, its numbers as CSV and JSON, and comparisons."""

import csv
import dataclasses
import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cli.results import markdown_table
from experiments.scoring.aggregate import TargetAggregate, aggregate, song_score
from experiments.scoring.comparison import Comparison, compare
from experiments.scoring.protocols import METRICS, PROTOCOLS
from experiments.scoring.song_scores import SongScores
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import write_json, write_text

Cells = list[list[str]]

#: The columns that are not numbers.
WORDS = ("system", "target", "metric")


@dataclass(frozen=True)
class Evaluation:
    """All scores of one folder."""

    protocol: str
    songs: str
    """Which, in words."""
    scores: dict[str, list[SongScores]]
    """By system."""
    compared: tuple[str, str] | None
    """Two of the systems."""
    seconds: float
    """What this command's scoring took."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that the protocol has."""
        return PROTOCOLS[self.protocol].metrics

    @functools.cached_property
    def comparisons(self) -> list[Comparison]:
        """Return the comparison of the two systems that were named, for each target and metric."""
        if self.compared is None:
            return []
        a, b = (self.scores[name] for name in self.compared)
        return [compare(a, b, target, metric) for target in a[0].targets for metric in self.metrics]

    def caption(self) -> str:
        """Return what a reader must know to read the numbers."""
        protocol = PROTOCOLS[self.protocol]
        engines = sorted({song.engine for songs in self.scores.values() for song in songs})
        return (
            f"Protocol {protocol.name}: {protocol.description}; engine {' and '.join(engines)}. {self.songs}. In "
            f"brackets: 95 % bootstrap interval over songs. Windows: in all / with an SDR / with a silent source / "
            f"without an SDR. Scoring took {self.seconds:.1f} s. {describe_machine()}."
        )

    def table(self) -> tuple[list[str], Cells]:
        """Return the headings and cells of the scores."""
        metric_titles = [f"{PROTOCOLS[self.protocol].title(metric)} (dB)" for metric in self.metrics]
        titles = ["system", "target", *metric_titles, "songs", "windows"]
        cells = [
            [system, target, *(_with_interval(found, metric) for metric in self.metrics), *_counts(found)]
            for system, songs in self.scores.items()
            for target, found in aggregate(songs).targets.items()
        ]
        return titles, cells

    def comparison_table(self) -> tuple[list[str], Cells]:
        """Return the headings and cells of the comparison."""
        titles = ["target", "metric", "songs", "better on", "median difference (dB)", "mean difference (dB)", "p"]
        cells = []
        for found in self.comparisons:
            low, high = found.interval_db or (None, None)
            mean = f"{_number(found.mean_difference_db)} [{_number(low)}, {_number(high)}]"
            p_value = "–" if found.p_value is None else f"{found.p_value:.2g}"
            numbers = [str(found.songs), str(found.better_songs), _number(found.median_difference_db), mean, p_value]
            metric = PROTOCOLS[self.protocol].title(found.metric)
            cells.append([found.target, metric, *numbers])
        return titles, cells

    def comparison_caption(self) -> str:
        """Return what a reader must know of the comparison."""
        assert self.compared is not None
        first, second = self.compared
        return (
            f"{first} less {second}, song by song ({PROTOCOLS[self.protocol].name}, a song's median over its windows). "
            "In brackets: 95 % bootstrap interval of the mean difference. p: Wilcoxon's signed-rank test, two-sided."
        )

    def write(self, folder: Path) -> None:
        """Write table.md, scores.csv and results.json."""
        text = f"{markdown_table(*self.table(), WORDS)}\n\n{self.caption()}\n"
        if self.comparisons:
            text += f"\n{markdown_table(*self.comparison_table(), WORDS)}\n\n{self.comparison_caption()}\n"
        write_text(folder / "table.md", text)
        write_text(folder / "scores.csv", self._csv())
        write_json(folder / "results.json", self._content())

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        scores = [f"{metric.lower()}_db" for metric in METRICS]
        counts = ["windows", "valid_windows", "silent_windows", "nan_windows"]
        writer.writerow(["protocol", "engine", "system", "song", "target", *scores, *counts])
        for system, songs in self.scores.items():
            for song in songs:
                for target in song.targets:
                    values = [song_score(song, target, metric) for metric in METRICS]
                    found = song.counts(target)
                    writer.writerow(
                        [song.protocol, song.engine, system, song.track, target]
                        + ["" if value != value else value for value in values]
                        + [found.windows, found.valid, found.silent, found.nan]
                    )
        return text.getvalue()

    def _content(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "caption": self.caption(),
            "environment": environment(),
            "scoring_s": self.seconds,
            "systems": {system: dataclasses.asdict(aggregate(songs)) for system, songs in self.scores.items()},
            "compared": self.compared,
            "comparisons": [dataclasses.asdict(found) for found in self.comparisons],
        }


def _with_interval(found: TargetAggregate, metric: str) -> str:
    low, high = found.interval_db[metric]
    return f"{_number(found.score_db[metric])} [{_number(low)}, {_number(high)}]"


def _counts(found: TargetAggregate) -> list[str]:
    windows = (found.windows, found.valid_windows, found.silent_windows, found.nan_windows)
    return [str(found.scored_songs), " / ".join(str(count) for count in windows)]


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"
