"""Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

`python -m experiments.evaluate --data ~/MUSDB18-HQ --estimates separated/htdemucs umx=separated/umx --compare htdemucs
umx` scores the folders' SONG/vocals.wav and writes scores in museval's JSON, a table, CSV and the comparison.
"""

import sys
import time
from collections.abc import Sequence

from cyclopts import App

from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.evaluation.options import EvaluateOptions
from madsep_jax.errors import InputError, first_line

app = App(name="evaluate", usage="Usage: python -m experiments.evaluate --data SONGS [OPTIONS]")


@app.default
def evaluate(options: EvaluateOptions, device: DeviceOptions = ANY_DEVICE) -> int:
    """Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

    Started again in the same folder, it scores what is missing or has changed, and shows all systems of the folder.
    Exit code 1: a song could not be scored; the others are.
    """
    from data_pipelines.songs.found import left_out
    from experiments.cli.results import show_results
    from experiments.data.songs import songs_to_score
    from experiments.evaluation.folder import EvaluationFolder
    from experiments.evaluation.report import evaluation_report
    from experiments.evaluation.separators import check_estimates, find_separators
    from experiments.scoring.protocols import PROTOCOLS
    from experiments.scoring.score_songs import scoring_pool

    console = make_console()
    show_device(console, device)
    found = songs_to_score(options.data, options.split, console, apart=bool(options.checkpoint))
    separators = find_separators(options, found.names, lambda line: say(console, line))
    found = check_estimates(found, separators, options, console).without_bad(options.skip_bad)
    tracks = found.tracks
    folder = EvaluationFolder(options, tracks)
    options.check_compared({*separators, *folder.systems()})
    folder.create()
    start, failed = time.perf_counter(), dict[str, dict[str, Exception]]()
    with scoring_pool(options.processes, options.engine) as pool:
        for name, separator in separators.items():
            with Bar(console, f"{name}: scoring", len(tracks), kept=True) as bar:
                failed[name] = folder.score(name, separator, pool, bar.advance)
    seconds = time.perf_counter() - start
    names = [*separators, *(name for name in folder.systems() if name not in separators)]
    scores = {name: found for name in names if (found := folder.scores(name))}
    reasons = {
        name: {song: first_line(error) for song, error in of_songs.items()}
        for name, of_songs in failed.items()
        if of_songs
    }
    if scores:
        songs = f"{len(tracks)} songs, {sum(track.duration_s for track in tracks) / 60:.1f} min"
        songs += f"; {left_out(found.bad)}" if found.bad else ""
        compared = [name for name in options.compare if name in scores]
        report = evaluation_report(PROTOCOLS[options.protocol], songs, scores, compared, seconds, reasons)
        report.write(folder.path)
        for table in report.tables:
            console.print(table.terminal())
            say(console, table.caption)
        show_results(console, folder.path, "table.md", "scores.csv", "results.json", "scores/SYSTEM/test/SONG.json")
    for name, of_songs in reasons.items():
        for song, reason in of_songs.items():
            say(console, f"{name}: {song}: not scored: {reason}")
    for error in (error for of_songs in failed.values() for error in of_songs.values()):
        if not isinstance(error, InputError):
            raise error
    return 1 if reasons else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
