"""Measure how fast training sequences come from prepared sets, and how long a training waits for them.

`python -m experiments.input_throughput` prepares the embedded songs at full size (0.7 GB) and takes two CPU cores about
six minutes; --prepared takes sets of your own.
"""

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from data_pipelines.prepared.settings import FeatureSettings
from experiments.command import run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.option_types import Many, ManyOrNone, Whole
from experiments.prepared_songs import PreparedTraining
from experiments.progress import Bar, make_console, say
from experiments.systems import expand, fields_of
from madsep_jax.config import RunConfig
from madsep_jax.config_io import override
from madsep_jax.environment import cpu_cores
from madsep_jax.errors import InputError
from madsep_jax.presets import preset_config


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """What to measure, and where to keep the results."""

    prepared: Annotated[tuple[Path, ...], ManyOrNone] = ()
    """Sets to read. Default: the embedded songs as spectrograms of 16 bits and as waveforms, prepared into OUT/sets."""

    systems: Annotated[tuple[str, ...], Many] = ("mad", "dws-5-64")
    """Systems to train, by the names of `experiments.ablation`; none: --no-training."""

    training: bool = True
    """Measure trainings, and not the pipeline alone."""

    batches: Annotated[tuple[int, ...], Many] = (4, 16)
    """Sequences in a batch. The pipeline alone is measured at the largest."""

    steps: Annotated[int, Whole] = 10
    """Timed training steps of each case."""

    seconds: float = 10.0
    """For which the pipeline alone is measured."""

    preset: str = "paper"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs") / "input_throughput"
    """Folder of input_throughput.json, table.md and the plot."""

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise InputError(f"--batches: found {list(self.batches)}, expected sizes of at least 1")
        if self.steps < 1:
            raise InputError(f"--steps: found {self.steps}, expected at least 1")
        if not self.seconds > 0:
            raise InputError(f"--seconds: found {self.seconds}, expected a positive number")


_DEFAULTS = InputOptions()
app = App(name="input_throughput", usage="Usage: python -m experiments.input_throughput [OPTIONS]", version_flags=[])


@app.default
def input_throughput(options: InputOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure how fast training sequences come from prepared sets, and how long a training waits for them."""
    console = make_console()
    base = preset_config(options.preset)
    systems = expand(options.systems, (), (), options.preset) if options.training else []
    show_device(console, device)
    folders = options.prepared or prepare_embedded(base, options.out / "sets", console)
    sets = [PreparedTraining.find(folder) for folder in folders]

    from data_pipelines.prepared.reader import PreparedSongs
    from experiments.feeding.measure import TrainingResult, measure_pipelines, measure_training
    from experiments.feeding.report import FeedingReport

    sources: list[tuple[str, PreparedSongs, RunConfig]] = []
    for one in sets:
        kind = one.index.settings
        name = kind.features if kind.features == "waveform" else f"{kind.features} {kind.dtype}"
        config = override(base, {"data.features": kind.features, "training.batch_size": max(options.batches)})
        one.order(config)  # raises where the set is of other settings
        sources.append((name, PreparedSongs(one.folder), config))
    names = [f"{one.index.name}/{one.index.settings.config_name}" for one in sets]
    settings = {**dataclasses.asdict(options), "out": options.out.name, "prepared": names}
    cases = list(itertools.product(systems, options.batches, sources))
    trainings: list[TrainingResult] = []
    with Bar(console, "input", 1 + len(cases)) as bar:
        pipelines = measure_pipelines(sources, max(options.batches), options.seconds)
        bar.advance()
        for system, batch, (name, songs, config) in cases:
            row = override(config, fields_of(system, config))
            trainings.append(measure_training(name, songs, row, system, batch, options.steps))
            FeedingReport(pipelines, trainings, settings).write(options.out)
            bar.advance()
    report = FeedingReport(pipelines, trainings, settings)
    report.write(options.out)
    say(console, report.markdown())
    say(console, f"Results: {options.out}/ (input_throughput.json, table.md, input_throughput.png)")


def prepare_embedded(base: RunConfig, data_dir: Path, console: Console) -> list[Path]:
    """Prepare the embedded songs in both forms; returns the sets' folders."""
    from data_pipelines.builders import BUILDERS
    from data_pipelines.builders.preparation import sketch
    from data_pipelines.prepared.runners import run_in_processes

    folders = []
    half = FeatureSettings(dtype="float16", signal=base.signal, sequences=base.sequences)
    waveform = FeatureSettings(features="waveform", dtype="int16", signal=base.signal, sequences=base.sequences)
    for settings in (half, waveform):
        preparation = sketch(BUILDERS["embedded"].of(settings, data_dir), None)
        folders.append(preparation.folder)
        if not preparation.done:
            with Bar(console, f"preparing {settings.config_name}", len(preparation.tracks)) as bar:
                preparation.run(run_in_processes(cpu_cores()), bar.advance)
    return folders


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
