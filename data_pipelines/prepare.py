"""Prepare a data set for training: every song read once, its features written as records that can be read in any order.

`python -m data_pipelines.prepare dsd100 --manual-dir ~/DSD100 --data-dir ~/prepared`
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from data_pipelines.prepared.runners import Runner, run_in_processes
from data_pipelines.prepared.settings import Features, FeatureSettings, default_dtype
from experiments.assignment import parse_assignment
from experiments.command import run
from experiments.option_types import ManyOrNone, Whole
from experiments.progress import Bar, make_console, say
from madsep_jax.config_io import override
from madsep_jax.environment import cpu_cores
from madsep_jax.errors import InputError
from madsep_jax.presets import preset_config

Name = Literal["dsd100", "musdb18hq", "musdb18", "stems_folder", "embedded"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Where the songs are, what is computed of them, and where it is kept."""

    data_dir: Path | None = None
    """Folder of prepared sets: this one will be in DATA_DIR/NAME/CONFIG/VERSION."""

    manual_dir: Path | None = None
    """Folder of the songs, as you downloaded them; --instructions says what is expected."""

    features: Features = "spectrogram"
    """spectrogram: magnitudes; or waveform: samples, of which the training step computes them."""

    dtype: Literal["float32", "float16"] | None = None
    """Of the magnitudes. Default: float32."""

    preset: str = "paper"
    """Signal and sequences: paper, released_code, or quick (a quarter of the size)."""

    set: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Other settings of these, as NAME=VALUE: sequences.frames=120"""

    processes: Annotated[int, Whole] = field(default_factory=cpu_cores)
    """Songs that are worked on at a time."""

    beam: Annotated[
        tuple[str, ...] | None, Parameter(consume_multiple=True, negative=(), allow_leading_hyphen=True)
    ] = None
    """Run as an Apache Beam pipeline, with its options, as in --beam --runner=FlinkRunner (extra `beam`). All workers
    must see both folders."""

    instructions: Annotated[bool, Parameter(negative=())] = False
    """Only say where the songs are to be had, under which licence, and how to lay them out."""

    def settings(self) -> FeatureSettings:
        """Return the form of the features. Raises InputError where there is no such form."""
        if self.processes < 1:
            raise InputError(f"--processes: found {self.processes}, expected at least 1")
        if self.dtype and self.features == "waveform":
            raise InputError(f"--dtype {self.dtype}: is for spectrograms, waveforms are int16")
        changes = dict(_assignment(text) for text in self.set)
        config = override(preset_config(self.preset), changes)
        dtype = self.dtype or default_dtype(self.features)
        return FeatureSettings(features=self.features, dtype=dtype, signal=config.signal, sequences=config.sequences)

    def runner(self) -> Runner:
        """Return what does the work. Raises InputError where there is no Beam."""
        if self.beam is None:
            return run_in_processes(self.processes)
        from data_pipelines.beam import run_in_beam

        return run_in_beam(self.beam)


_DEFAULTS = PrepareOptions()
app = App(
    name="prepare", usage="Usage: python -m data_pipelines.prepare NAME --data-dir DIR [OPTIONS]", version_flags=[]
)


@app.default
def prepare(name: Name, /, options: PrepareOptions = _DEFAULTS) -> None:
    """Prepare a data set for training.

    Stopped and started again it continues. Started on a set that is there, it checks every record, and writes anew the
    shards that are missing or damaged.
    """
    settings = options.settings()
    console = make_console()
    from data_pipelines.builders import BUILDERS
    from data_pipelines.builders.preparation import sketch
    from data_pipelines.builders.summary import summary

    builder = BUILDERS[name].of(settings, options.data_dir or Path())
    if options.instructions:
        for text in (builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "", f"Licence: {builder.LICENSE}", builder.CITATION or ""):
            say(console, text)
        return
    if options.data_dir is None:
        raise InputError("--data-dir: found none, expected the folder that the prepared set shall be in")
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and options.manual_dir is None:
        raise InputError("--manual-dir: found none, expected the folder of the songs (--instructions says which)")
    work = sketch(builder, options.manual_dir)
    for line in work.left_out:
        say(console, f"{line}: left out")
    for line in work.filled_up:
        say(console, f"{line}: filled with silence")
    hours = sum(track.duration_s for track in work.tracks) / 3600
    size = f"{work.records:,} sequences of {settings.record_bytes:,} bytes, {work.bytes / 1e9:.2f} GB"
    say(console, f"{len(work.tracks)} tracks, {hours:.2f} h: {size} in {work.folder}")
    with Bar(console, "checking" if work.done else "preparing", len(work.tracks)) as bar:
        index = work.run(options.runner(), bar.advance)
    console.print(summary(index, work.folder))


def _assignment(text: str) -> tuple[str, Any]:
    name, value = parse_assignment(text)
    if not name.startswith(("signal.", "sequences.")):
        raise InputError(f"--set {text}: expected a field of signal or sequences")
    return name, value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
