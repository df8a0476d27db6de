"""Score all systems of one evaluation, and show them."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console

from data_pipelines.songs.found import FoundSongs, left_out
from experiments.cli.console import Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.results import show_results
from experiments.data.songs import songs_to_score
from experiments.evaluation.folder import EvaluationFolder
from experiments.evaluation.options import EvaluateOptions
from experiments.evaluation.report import evaluation_report
from experiments.evaluation.separators import check_estimates, find_separators
from experiments.pages.page import REPORT, write_page
from experiments.scoring.protocols import PROTOCOLS
from experiments.scoring.score_songs import scoring_pool
from madsep_jax.errors import InputError, first_line
from madsep_jax.ops.precision import double_precision_device


def score_systems(options: EvaluateOptions, required: DeviceOptions) -> int:
    """Do what the options of the evaluation ask for; returns the exit code.

    An error of the program itself is raised, once the other songs are scored and shown.
    """
    console = make_console()
    show_device(console, required)
    if options.engine == "jax":
        double_precision_device()  # raises where nothing can score
    found = songs_to_score(options.data, options.split, console, apart=bool(options.checkpoint))
    options.own.load()
    separators = find_separators(options, found, partial(say, console))
    songs = check_estimates(found, separators, options, console).without_bad(options.skip_bad)
    folder = EvaluationFolder(options, songs.tracks)
    options.check_compared({*separators, *folder.systems()})
    folder.create()
    start, failed = time.perf_counter(), dict[str, dict[str, Exception]]()
    with scoring_pool(options.processes, options.engine) as pool:
        for name, separator in separators.items():
            with Bar(console, f"{name}: scoring", len(songs.tracks), kept=True) as bar:
                if errors := folder.score(name, separator, pool, bar.advance):
                    failed[name] = errors
    reasons = {name: {song: first_line(error) for song, error in errors.items()} for name, errors in failed.items()}
    _show(console, folder, songs, [*separators], options, time.perf_counter() - start, reasons)
    for error in (error for errors in failed.values() for error in errors.values()):
        if not isinstance(error, InputError):
            raise error
    return 1 if failed else 0


def _show(
    console: Console,
    folder: EvaluationFolder,
    found: FoundSongs,
    scored: Sequence[str],
    options: EvaluateOptions,
    seconds: float,
    failed: Mapping[str, Mapping[str, str]],
) -> None:
    """Write and print the report of all systems of the folder, those that are scored now first, and what has failed."""
    names = [*scored, *(name for name in folder.systems() if name not in scored)]
    scores = {name: of_system for name in names if (of_system := folder.scores(name))}
    if scores:
        songs = f"{len(found.tracks)} songs, {sum(track.duration_s for track in found.tracks) / 60:.1f} min"
        songs += f"; {left_out(found.bad)}" if found.bad else ""
        compared = [name for name in options.compare if name in scores]
        report = evaluation_report(PROTOCOLS[options.protocol], songs, scores, compared, seconds, failed)
        report.write(folder.path)
        write_page([folder.path])
        report.show_tables(console, folder.path)
        files = (REPORT, "table.md", "scores.csv", "results.json", "scores/SYSTEM/test/SONG.json")
        show_results(console, folder.path, *files)
    for name, of_songs in failed.items():
        for song, reason in of_songs.items():
            say(console, f"{name}: {song}: not scored: {reason}")
