"""All songs of one command: one after the other, and what is said of each."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.cli.console import Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.signals import CONTINUE, keeps, unhurried
from experiments.separator.options import SeparateOptions
from experiments.separator.plan import plan_songs
from experiments.separator.songs import given_songs
from experiments.separator.trained import choose_checkpoint, choose_device, describe
from madsep_jax.audio import missing_line
from madsep_jax.checkpoint.folder import weights_of
from madsep_jax.errors import InputError, shown
from madsep_jax.host.compiler import use_compilation_cache
from madsep_jax.host.files import clear_leftovers
from madsep_jax.separator import Separator
from madsep_jax.separator.song_file import SeparatedFile, SongFile, separate_file
from madsep_jax.separator.stem_files import is_disk_full

_SOME_FAILED, _NOTHING_DONE = 1, 2


@dataclass(frozen=True)
class Done:
    """A song that has been separated."""

    song: SongFile
    found: SeparatedFile
    seconds: float
    """All that it took, from opening the file to the results in their places."""


def separate_all(arguments: Sequence[Path], options: SeparateOptions, required: DeviceOptions) -> int:
    """Separate what the arguments of the command stand for; returns its exit code."""
    console = make_console()
    device = choose_device(options.device)
    show_device(console, required)
    found = given_songs(arguments, options.out)
    plans = plan_songs(found, options)
    for line in found.notes:
        say(console, line)
    if plans.done:
        total = plans.done + len(plans.songs) + len(plans.failures)
        say(console, f"{plans.done} of {total} songs left out, as their results are there")
    if not plans.songs:
        return _end(plans.failures, plans.done)
    for line in plans.failures:
        say(console, f"left out: {line}")
    clear_leftovers(options.out)
    if options.compilation_cache:
        use_compilation_cache()
    options.own.load()
    checkpoint = choose_checkpoint(options.checkpoint)
    separator = Separator.load(checkpoint, which=options.which, device=device, separation=options.separation)
    weights = None if checkpoint.is_file() else weights_of(checkpoint, options.which)
    say(console, describe(checkpoint, separator.config, weights))
    failures, done = list(plans.failures), list[Done]()
    for number, song in enumerate(plans.songs, start=1):
        with Bar(console, f"{number}/{len(plans.songs)} {shown(song.path.name)}", 100) as bar:
            try:
                done.append(_separate(song, separator, options, bar))
            except (InputError, OSError) as error:  # a song on a drive that does not answer, for example
                failures.append(_line_of(error, song))
                if is_disk_full(error):  # as it would be for the others
                    failures += [
                        f"{shown(other.path)}: not begun, as the disk is full" for other in plans.songs[number:]
                    ]
                    break
                if number < len(plans.songs):
                    say(console, f"left out: {failures[-1]}")
                continue
        _report(console, done)
        keeps(CONTINUE if options.skip_existing else "with --skip-existing the same command goes on with what is left")
    return _end(failures, plans.done + len(done))


def _separate(song: SongFile, separator: Separator, options: SeparateOptions, bar: Bar) -> Done:
    start = time.perf_counter()
    bar.advance_to(0, "reading")

    def show(done_s: float, all_s: float) -> None:
        bar.advance_to(int(100 * done_s / all_s), f"{done_s:.0f} of {all_s:.0f} s")

    found = separate_file(song, separator, show, strict=options.strict, finishing=unhurried)
    return Done(song, found, time.perf_counter() - start)


def _line_of(error: InputError | OSError, song: SongFile) -> str:
    return str(error) if isinstance(error, InputError) else f"{shown(song.path)}: {error.strerror or error}"


def _report(console: Console, done: Sequence[Done]) -> None:
    """Say what became of the last song."""
    *earlier, last = done
    song, found = last.song, last.found
    if found.missing:
        say(console, missing_line(song.path, found.missing))
    if found.beyond:
        cut = f"samples beyond twice full scale were cut: {found.beyond}"
        say(console, f"{shown(song.path)}: {cut} (--format wav --subtype FLOAT keeps them)")
    at_s, opposite_s = found.opposite_s
    if opposite_s and not found.how.each_channel:
        line = f"the channels cancel for {opposite_s:.1f} s, first at {at_s:.1f} s, where no voice is found"
        say(console, f"{shown(song.path)}: {line} by a model that reads their average")
    duration_s = found.frames / song.info.sample_rate
    compiled = {(one.song.info.channels, one.found.how.each_channel) for one in earlier}
    notes = []
    if (song.info.channels, found.how.each_channel) not in compiled:
        notes.append("with compilation")
    if found.how.each_channel:
        notes.append("the channels cancel, so each has a mask of its own")
    if song.stale:
        notes.append(f"in the place of {', '.join(shown(path.name) for path in song.stale)}")
    places = os.path.commonpath([place.parent for place in song.places.values()])
    say(
        console,
        f"{shown(song.path)}: {duration_s:.1f} s of sound in {last.seconds:.2f} s, real-time factor "
        f"{last.seconds / duration_s:.3f}{''.join(f', {note}' for note in notes)}, in {shown(places)}",
    )


def _end(failures: Sequence[str], done: int) -> int:
    """List the songs that were not separated, and return the exit code."""
    if not failures:
        return 0
    if done == 0 and len(failures) == 1:
        raise InputError(failures[0])
    print(f"madsep: {len(failures)} of {done + len(failures)} songs were not separated:", file=sys.stderr)
    for line in failures:
        print(f"  {' '.join(line.split())}", file=sys.stderr)
    return _SOME_FAILED if done else _NOTHING_DONE
