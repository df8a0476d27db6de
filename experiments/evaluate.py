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

app = App(name="evaluate", usage="Usage: python -m experiments.evaluate --data SONGS [OPTIONS]")


@app.default
def evaluate(options: EvaluateOptions, device: DeviceOptions = ANY_DEVICE) -> None:
    """Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

    Started again in the same folder, it scores what is missing or has changed, and shows all systems of the folder.
    """
    from experiments.data.songs import songs_to_score
    from experiments.evaluation.folder import EvaluationFolder
    from experiments.evaluation.report import evaluation_report
    from experiments.evaluation.separators import find_separators
    from experiments.scoring.protocols import PROTOCOLS
    from experiments.scoring.score_songs import scoring_pool

    console = make_console()
    show_device(console, device)
    separators = find_separators(options, lambda line: say(console, line))
    tracks = songs_to_score(options.data, options.split)
    folder = EvaluationFolder(options, tracks)
    options.check_compared({*separators, *folder.systems()})
    for separator in separators.values():
        for track in tracks:
            separator.check(track)
    folder.create()
    start = time.perf_counter()
    with scoring_pool(options.processes, options.engine) as pool:
        for name, separator in separators.items():
            with Bar(console, f"{name}: scoring", len(tracks), kept=True) as bar:
                folder.score(name, separator, pool, bar.advance)
    seconds = time.perf_counter() - start
    scores = {name: folder.scores(name) for name in [*separators, *(set(folder.systems()) - set(separators))]}
    songs = f"{len(tracks)} songs, {sum(track.duration_s for track in tracks) / 60:.1f} min"
    report = evaluation_report(PROTOCOLS[options.protocol], songs, scores, options.compare, seconds)
    report.write(folder.path)
    for table in report.tables:
        console.print(table.terminal())
        say(console, table.caption)
    say(console, f"Results: {folder.path}/ (table.md, scores.csv, results.json, scores/SYSTEM/test/SONG.json)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
