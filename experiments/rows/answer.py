"""Which of the trained systems of an experiment are better: from the scores of their rows, song by song."""

import functools
from collections.abc import Sequence
from pathlib import Path

from experiments.rows.row import RowResult
from experiments.scoring import song_scores
from experiments.scoring.aggregate import song_score
from experiments.scoring.answer import Answer, OfSongs, compare_systems

TARGET = "vocals"
METRICS = ("SDR", "SIR", "SAR")
#: What of a system is drawn, beside the songs.
UNIT = "seed"


def answer(results: Sequence[RowResult], experiment: Path, baseline: str | None = None) -> Answer:
    """Compare the voice of each two trained systems of an experiment, or of each with a baseline, song by song.

    Raises InputError where the scores of a row are damaged.
    """
    trained = [one for one in results if one.seed is not None and one.scores]
    of_rows = {(one.system, one.seed): _songs_of(one.folder(experiment)) for one in trained}
    systems = list(dict.fromkeys(one.system for one in trained))

    def of_system(system: str, metric: str) -> list[OfSongs]:
        rows = [found for (name, _), found in of_rows.items() if name == system]
        return [{song: values[metric] for song, values in row.items()} for row in rows]

    scores = {(TARGET, metric): {system: of_system(system, metric) for system in systems} for metric in METRICS}
    return compare_systems(scores, baseline, UNIT)


def _songs_of(folder: Path) -> dict[str, dict[str, float]]:
    """Return the score of each song of a row, the median over its windows, in dB by metric."""
    paths = sorted((folder / "scores").glob("*.json"))
    return dict(_song(path, path.stat().st_mtime_ns) for path in paths)


@functools.cache
def _song(path: Path, changed: int) -> tuple[str, dict[str, float]]:
    """Read a song's scores, which were changed then; once, as the answer is given anew after each row."""
    scores = song_scores.read(path)
    return scores.track, {metric: song_score(scores, TARGET, metric) for metric in METRICS}
