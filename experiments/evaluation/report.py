"""What an evaluation writes for its reader: a table, its numbers as CSV and JSON, and comparisons."""

import csv
import io
from collections.abc import Mapping, Sequence

from experiments.cli.results import Column, Report, Table
from experiments.scoring.aggregate import Aggregate, Comparison, Interval, aggregate, compare, song_score
from experiments.scoring.protocols import METRICS, Protocol
from experiments.scoring.song_scores import SongScores
from madsep_jax.host.environment import describe_machine, environment


def evaluation_report(
    protocol: Protocol,
    songs: str,
    scores: Mapping[str, Sequence[SongScores]],
    compared: tuple[str, str] | None,
    seconds: float,
) -> Report:
    """Return results.json, table.md and scores.csv, of scores by system, two of which may be compared.

    `songs` says in words which were scored; that took so many seconds in this command.
    """
    engines = sorted({song.engine for of_system in scores.values() for song in of_system})
    caption = (
        f"Protocol {protocol.name}: {protocol.description}; engine {' and '.join(engines)}. {songs}. In "
        f"brackets: 95 % bootstrap interval over songs. Windows: in all / with an SDR / with a silent source / "
        f"without an SDR. Scoring took {seconds:.1f} s. {describe_machine()}."
    )
    systems = {system: aggregate(of_system) for system, of_system in scores.items()}
    tables, comparisons = [_score_table(systems, protocol, caption)], []
    if compared is not None:
        a, b = (scores[name] for name in compared)
        comparisons = [compare(a, b, target, metric) for target in a[0].targets for metric in protocol.metrics]
        tables.append(_comparison_table(comparisons, protocol, compared))
    content = {
        "protocol": protocol.name,
        "caption": caption,
        "environment": environment(),
        "scoring_s": seconds,
        "systems": systems,
        "compared": compared,
        "comparisons": comparisons,
    }
    return Report("results", content, tables, {"scores.csv": _csv(scores)})


def _score_table(systems: Mapping[str, Aggregate], protocol: Protocol, caption: str) -> Table:
    columns = [Column("system", "system", word=True), Column("target", "target", word=True)]
    columns += [Column(f"{protocol.title(metric)} (dB)", metric) for metric in protocol.metrics]
    columns += [Column("songs", "songs"), Column("windows", "windows")]
    rows = []
    for system, aggregated in systems.items():
        for target, found in aggregated.targets.items():
            counts = (found.windows, found.valid_windows, found.silent_windows, found.nan_windows)
            numbers = {m: _with_interval(found.score_db[m], found.interval_db[m]) for m in protocol.metrics}
            windows = " / ".join(str(count) for count in counts)
            rows.append({"system": system, "target": target, "songs": found.scored_songs, "windows": windows} | numbers)
    return Table(columns, rows, caption)


def _comparison_table(comparisons: Sequence[Comparison], protocol: Protocol, compared: tuple[str, str]) -> Table:
    columns = [
        Column("target", "target", word=True),
        Column("metric", lambda row: protocol.title(row["metric"]), word=True),
        Column("songs", "songs"),
        Column("better on", "better_songs"),
        Column("median difference (dB)", "median_difference_db", ".2f"),
        Column("mean difference (dB)", lambda row: _with_interval(row["mean_difference_db"], row["interval_db"])),
        Column("p", "p_value", ".2g"),
    ]
    caption = (
        f"{compared[0]} less {compared[1]}, song by song ({protocol.name}, a song's median over its windows). "
        "In brackets: 95 % bootstrap interval of the mean difference. p: Wilcoxon's signed-rank test, two-sided."
    )
    return Table(columns, [vars(found) for found in comparisons], caption)


def _csv(scores: Mapping[str, Sequence[SongScores]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores_db = [f"{metric.lower()}_db" for metric in METRICS]
    counts = ["windows", "valid_windows", "silent_windows", "nan_windows"]
    writer.writerow(["protocol", "engine", "system", "song", "target", *scores_db, *counts])
    for system, songs in scores.items():
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


def _with_interval(value: float | None, interval: Interval | None) -> str:
    found, low, high = (
        "–" if number is None or number != number else f"{number:.2f}"
        for number in (value, *(interval or (None, None)))
    )
    return f"{found} [{low}, {high}]"
