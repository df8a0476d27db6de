"""What an evaluation writes for its reader: a table, its numbers as CSV and JSON, and comparisons."""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.cli.results import Column, Report, Table
from experiments.scoring.aggregate import Aggregate, Interval, aggregate, song_score
from experiments.scoring.answer import Answer, compare_systems
from experiments.scoring.protocols import METRICS, Protocol
from experiments.scoring.song_scores import SongScores
from madsep_jax.host.environment import describe_machine, environment


def evaluation_report(
    protocol: Protocol,
    songs: str,
    scores: Mapping[str, Sequence[SongScores]],
    compared: Sequence[str],
    seconds: float,
    failed: Mapping[str, Mapping[str, str]],
) -> Report:
    """Return results.json, table.md and scores.csv, of scores by system, some of which may be compared.

    `songs` says in words which were scored; that took so many seconds in this command. `failed` says by system and song
    what could not be scored now, and why.
    """
    engines = sorted({song.engine for of_system in scores.values() for song in of_system})
    caption = (
        f"Protocol {protocol.name}: {protocol.description}; engine {' and '.join(engines)}. {songs}. In "
        f"brackets: 95 % bootstrap interval over songs. Windows: in all / with an SDR / with a silent source / "
        f"without an SDR. Scoring took {seconds:.1f} s. {describe_machine()}."
    )
    left_out = [f"{system}: {song}" for system, songs in failed.items() for song in songs]
    caption += f" Not scored, and left out: {'; '.join(left_out)}." if left_out else ""
    systems = {system: aggregate(of_system) for system, of_system in scores.items()}
    taken = {system: _taken(of_system) for system, of_system in scores.items()}
    found = _answer(scores, compared, protocol) if len(compared) > 1 else Answer()
    tables = [table for table in (_score_table(systems, taken, protocol, caption), found.table("")) if table]
    content = {
        "protocol": protocol.name,
        "caption": caption,
        "environment": environment(),
        "scoring_s": seconds,
        "systems": systems,
        "taken": taken,
        "failed": failed,
        "compared": compared,
        "answer": found.sentences,
        "differences": found.differences,
    }
    return Report("results", content, tables, {"scores.csv": _csv(scores)})


def _taken(songs: Sequence[SongScores]) -> dict[str, dict[str, int]]:
    """Return by target what its estimates were, in words, and of how many songs."""
    return {target: dict(Counter(song.taken.get(target, "") for song in songs)) for target in songs[0].targets}


def _taken_cell(found: Mapping[str, int]) -> str:
    if len(found) == 1:
        return next(iter(found)) or "–"
    return "; ".join(f"{what or '–'} ({songs} songs)" for what, songs in found.items())


def _score_table(
    systems: Mapping[str, Aggregate], taken: Mapping[str, Mapping[str, Any]], protocol: Protocol, caption: str
) -> Table:
    columns = [Column("system", "system", word=True), Column("target", "target", word=True)]
    rank = {"SDR": 0, "SIR": 1, "SAR": 1}
    columns += [
        Column(f"{protocol.title(metric)} (dB)", metric, rank=rank.get(metric, 2)) for metric in protocol.metrics
    ]
    columns += [Column("songs", "songs", rank=3), Column("windows", "windows", rank=3)]
    columns += [Column("scored", "scored", word=True, rank=3, sentence=True)]
    rows = []
    for system, aggregated in systems.items():
        for target, found in aggregated.targets.items():
            counts = (found.windows, found.valid_windows, found.silent_windows, found.nan_windows)
            numbers = {m: _with_interval(found.score_db[m], found.interval_db[m]) for m in protocol.metrics}
            windows = " / ".join(str(count) for count in counts)
            about = {"system": system, "target": target, "songs": found.scored_songs, "windows": windows}
            rows.append({**about, **numbers, "scored": _taken_cell(taken[system][target])})
    return Table(columns, rows, caption)


def _answer(scores: Mapping[str, Sequence[SongScores]], compared: Sequence[str], protocol: Protocol) -> Answer:
    """Compare each system with each that comes after it, by target and metric."""
    targets = scores[compared[0]][0].targets
    return compare_systems(
        {
            (target, protocol.title(metric)): {
                system: [{song.track: song_score(song, target, metric) for song in scores[system]}]
                for system in compared
            }
            for target, metric in itertools.product(targets, protocol.metrics)
        },
        later_first=False,
    )


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
