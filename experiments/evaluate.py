"""Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

`python -m experiments.evaluate --data ~/MUSDB18-HQ --estimates separated/htdemucs umx=separated/umx --compare htdemucs
umx` scores the folders' SONG/vocals.wav and writes scores in museval's JSON, a table, CSV and the comparison.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App

from data_pipelines.embedded import EmbeddedConfig, embedded_tracks
from data_pipelines.songs.layouts import find_tracks
from data_pipelines.songs.tracks import Track
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.tables import terminal_table
from experiments.data.songs import EMBEDDED
from experiments.evaluation.folder import EvaluationFolder
from experiments.evaluation.options import EvaluateOptions
from experiments.evaluation.report import WORDS, Evaluation
from experiments.evaluation.score_system import score_system
from experiments.evaluation.separators import find_separators
from experiments.scoring.comparison import Comparison, compare
from experiments.scoring.protocols import PROTOCOLS
from experiments.scoring.score_songs import scoring_pool
from experiments.scoring.song_scores import SongScores
from madsep_jax.errors import InputError

#: Of the embedded corpus, Hz.
_EMBEDDED_RATE = 44100

app = App(name="evaluate", usage="Usage: python -m experiments.evaluate --data SONGS [OPTIONS]", version_flags=[])


@app.default
def evaluate(options: EvaluateOptions, device: DeviceOptions = ANY_DEVICE) -> None:
    """Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

    Started again in the same folder, it scores what is missing or has changed, and shows all systems of the folder.
    """
    console = make_console()
    show_device(console, device)
    separators = find_separators(options, lambda line: say(console, line))
    tracks = find_songs(options)
    fingerprint = hashlib.sha256("\n".join(f"{track.name}/{track.fingerprint()}" for track in tracks).encode())
    folder = EvaluationFolder(options, fingerprint.hexdigest()[:16])
    _check_compared(options, {*separators, *folder.systems()})
    for separator in separators.values():
        for track in tracks:
            separator.check(track)
    folder.create()
    start = time.perf_counter()
    with scoring_pool(options.processes, options.engine) as pool:
        for name, separator in separators.items():
            with Bar(console, f"{name}: scoring", len(tracks)) as bar:
                score_system(name, separator, tracks, folder, pool, options, bar.advance)
    seconds = time.perf_counter() - start
    scores = {name: folder.scores(name) for name in [*separators, *(set(folder.systems()) - set(separators))]}
    songs = f"{len(tracks)} songs, {sum(track.duration_s for track in tracks) / 60:.1f} min"
    found = Evaluation(options.protocol, songs, scores, compare_systems(options, scores), options.compare, seconds)
    found.write(folder.path)
    console.print(terminal_table(*found.table(), WORDS))
    say(console, found.caption())
    if found.comparisons:
        console.print(terminal_table(*found.comparison_table(), WORDS))
        say(console, found.comparison_caption())
    say(console, f"Results: {folder.path}/ (table.md, scores.csv, results.json, scores/SYSTEM/test/SONG.json)")


def find_songs(options: EvaluateOptions) -> list[Track]:
    """Return the songs to score. Raises InputError where there are none."""
    if options.data == EMBEDDED:
        tracks: list[Track] = list(embedded_tracks(EmbeddedConfig(sample_rate=_EMBEDDED_RATE)))
    else:
        tracks = find_tracks(Path(options.data))
    tracks = [track for track in tracks if track.split == options.split]
    if not tracks:
        raise InputError(f"--data {options.data}: found no {options.split} songs, expected at least one")
    return tracks


def compare_systems(options: EvaluateOptions, scores: dict[str, list[SongScores]]) -> list[Comparison]:
    """Return the comparison of the two systems that were named, for each target and metric."""
    if options.compare is None:
        return []
    a, b = (scores[name] for name in options.compare)
    return [compare(a, b, target, metric) for target in a[0].targets for metric in PROTOCOLS[options.protocol].metrics]


def _check_compared(options: EvaluateOptions, known: set[str]) -> None:
    for name in options.compare or ():
        if name not in known:
            raise InputError(f"--compare {name}: unknown, expected one of {', '.join(sorted(known)) or 'none'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
