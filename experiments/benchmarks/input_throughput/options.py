"""The options of `experiments.input_throughput`, and the prepared set that it makes where none is given."""

from pathlib import Path
from typing import Annotated

from rich.console import Console

from data_pipelines.prepared.settings import FeatureSettings
from experiments.benchmarks.options import SizeOptions, require_positive
from experiments.cli.console import Bar
from experiments.cli.options import Many, ManyOrNone, Out, Whole, option_class, require_at_least
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.environment import cpu_cores


@option_class
class InputOptions(SizeOptions):
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

    out: Annotated[Path, Out] = Path("runs") / "input_throughput"
    """Folder of input_throughput.json, table.md and the plot."""

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise InputError(f"--batches: found {list(self.batches)}, expected sizes of at least 1")
        require_at_least(self, steps=1)
        require_positive(self, "seconds")


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
