"""Prepare a data set for training: every song read once, its features written as records that can be read in any order.

`python -m experiments.prepare dsd100 --manual-dir ~/DSD100 --data-dir ~/prepared`
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

from cyclopts import App

from experiments.cli.command import run
from experiments.cli.console import Bar, make_console, say
from experiments.cli.options import in_any_case
from experiments.data.options import Name, PrepareOptions
from madsep_jax.errors import InputError

_DEFAULTS = PrepareOptions()

app = App(name="prepare", usage="Usage: python -m experiments.prepare NAME --data-dir DIR [OPTIONS]")


@app.default
def prepare(name: Annotated[Name, in_any_case(*get_args(Name))], /, options: PrepareOptions = _DEFAULTS) -> None:
    """Prepare a data set for training.

    Stopped and started again it continues. Started on a set that is there, it checks every record, and writes anew the
    shards that are missing or damaged.
    """
    from data_pipelines.builders import BUILDERS
    from data_pipelines.builders.preparation import sketch
    from experiments.data.prepared import summary
    from experiments.data.songs import songs_to_prepare

    settings, console = options.settings(), make_console()
    builder = BUILDERS[name].of(settings, options.data_dir or Path())
    if options.instructions:
        for text in (builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "", f"Licence: {builder.LICENSE}", builder.CITATION or ""):
            say(console, text)
        return
    if options.data_dir is None:
        raise InputError("--data-dir: found none, expected the folder that the prepared set shall be in")
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and options.manual_dir is None:
        raise InputError("--manual-dir: found none, expected the folder of the songs (--instructions says which)")
    work = sketch(builder, options.manual_dir, lambda found: songs_to_prepare(found, options, console))
    for bad in work.bad:
        say(console, f"{bad.line}: left out")
    for line in work.left_out:
        say(console, f"{line}: left out")
    for line in work.filled_up:
        say(console, f"{line}: filled with silence")
    hours = sum(track.duration_s for track in work.tracks) / 3600
    size = f"{work.records:,} sequences of {settings.record_bytes:,} bytes, {work.bytes / 1e9:.2f} GB"
    say(console, f"{len(work.tracks)} tracks, {hours:.2f} h: {size} in {work.folder}")
    with Bar(console, "checking" if work.done else "preparing", len(work.tracks), kept=not work.done) as bar:
        index = work.run(options.runner(), bar.advance)
    console.print(summary(index, work.folder))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
