"""The options of `experiments.input_throughput`."""

from pathlib import Path
from typing import Annotated

from experiments.benchmarks.options import SizeOptions, require_positive
from experiments.cli.options import Many, ManyOrNone, Out, Whole, option_class, require_at_least
from madsep_jax.errors import InputError


@option_class
class InputOptions(SizeOptions):
    """What to measure, and where to keep the results."""

    prepared: Annotated[tuple[Path, ...], ManyOrNone] = ()
    """Sets to read. Default: the embedded songs as spectrograms of 16 bits and as waveforms, prepared into OUT/sets."""

    systems: Annotated[tuple[str, ...], Many] = ("mad", "dws-5-64")
    """Systems to train, by the names of `experiments.ablation`; none: --no-training."""

    training: bool = True
    """Measure trainings, and not the pipeline alone."""

    batches: Annotated[tuple[int, ...], Many, Whole] = (4, 16)
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
