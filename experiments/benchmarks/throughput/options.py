"""The options of `experiments.throughput`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from experiments.benchmarks.options import Form, Mode, Precision, VariantOptions, require_some
from experiments.cli.options import Many, ManyOrNone, Out, Systems, Whole, option_class

if TYPE_CHECKING:
    from experiments.benchmarks.case import Case

#: What is timed where no systems are named.
_FULL_SIZE_SYSTEMS = ("mad", "mad-twinnet", "dws-5-64", "dws-7-256")


@option_class
class ThroughputOptions(VariantOptions):
    """What to time, at which sizes, and where to keep the results."""

    systems: Annotated[tuple[str, ...], ManyOrNone, Systems] = ()
    """Systems to time, by the names of `experiments.ablation`. Default: mad, mad-twinnet, dws-5-64 and dws-7-256; with
    --preset quick its small ones."""

    batches: Annotated[tuple[int, ...], Many, Whole] = (4,)
    """Sequences in a batch."""

    lengths: Annotated[tuple[int, ...], Many, Whole] = (60,)
    """Frames of a sequence, 10 on each side of them context."""

    modes: Annotated[tuple[Mode, ...], Many] = ("forward", "train")
    """Inference, train step, or both."""

    forms: Annotated[tuple[Form, ...], Many] = ("auto",)
    """Forms of our operations, as `compute.operations` of the configuration."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32",)
    """float32, in matrix products and convolutions too; tf32 (GPU only): what those round to; bfloat16 (train steps):
    as a training with --precision bfloat16, PyTorch by autocast; float64."""

    peer: Literal["torch", "torch-compile"] | None = None
    """torch: time PyTorch as well, eager, on the same weights, after comparing its outputs with ours. torch-compile:
    compiled by its torch.compile too, which on a CPU takes a C++ compiler, and a minute for each line."""

    keep_freed_memory: Annotated[bool, Parameter(negative=())] = False
    """Have the C library keep the memory that both sides free, for their next step; glibc gives large arrays back to
    the system otherwise, and asks for each anew."""

    seed: Annotated[int, Whole] = 0
    """Of weights and data."""

    out: Annotated[Path | None, Out] = None
    """Folder of throughput.json, table.md, summary.md and plots; what was timed there before, in the same way and on
    the same machine, is kept. Default: runs/throughput-PRESET."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "batches", "lengths", "modes", "forms", "precisions")

    @property
    def folder(self) -> Path:
        """Return where the results are kept."""
        return self.out or Path("runs") / f"throughput-{self.preset}"

    def cases(self) -> "list[Case]":
        """Return what is to be timed, one after the other. Raises InputError where one cannot be."""
        from experiments.benchmarks.case import Case

        return [
            Case.of(system, mode, batch, frames, self.preset, precision=precision, seed=self.seed)
            for precision in dict.fromkeys(self.precisions)
            for system in self.expand(self.named_or(self.systems, _FULL_SIZE_SYSTEMS))
            for frames in dict.fromkeys(self.lengths)
            for batch in dict.fromkeys(self.batches)
            for mode in dict.fromkeys(self.modes)
        ]
