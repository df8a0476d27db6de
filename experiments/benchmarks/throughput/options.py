"""The options of `experiments.throughput`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.benchmarks.case import Case, Form, Mode, Precision
from experiments.cli.options import Many, ManyOrNone, Whole
from madsep_jax.config.systems import expand
from madsep_jax.errors import InputError

#: What is timed where no systems are named, by preset.
_SYSTEMS = {"quick": ("mad", "dws-3-16", "dws-5-32")}

_FULL_SIZE_SYSTEMS = ("mad", "mad-twinnet", "dws-5-64", "dws-7-256")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ThroughputOptions:
    """What to time, at which sizes, and where to keep the results."""

    systems: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems to time, by the names of `experiments.ablation`. Default: mad, mad-twinnet, dws-5-64 and dws-7-256; with
    --preset quick its small ones."""

    batches: Annotated[tuple[int, ...], Many] = (4,)
    """Sequences in a batch."""

    lengths: Annotated[tuple[int, ...], Many] = (60,)
    """Frames of a sequence, 10 on each side of them context."""

    modes: Annotated[tuple[Mode, ...], Many] = ("forward", "train")
    """Inference, train step, or both."""

    forms: Annotated[tuple[Form, ...], Many] = ("auto",)
    """Forms of our operations, as `compute.operations` of the configuration."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32",)
    """float32, in matrix products and convolutions too; tf32 (GPU only): what those round to; float64."""

    peer: Literal["torch"] | None = None
    """Time PyTorch as well, eager, on the same weights, after comparing its outputs with ours."""

    keep_freed_memory: Annotated[bool, Parameter(negative=())] = False
    """Have the C library keep the memory that both sides free, for their next step; glibc gives large arrays back to
    the system otherwise, and asks for each anew."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each variant."""

    seconds: float = 60.0
    """A variant whose timed steps take so long in all does fewer, but one in each turn."""

    turns: Annotated[int, Whole] = 5
    """Over how many turns the steps of a variant are spread. Each starts with one more step, which is not timed."""

    seed: Annotated[int, Whole] = 0
    """Of weights and data."""

    preset: str = "paper"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    out: Annotated[Path | None, Parameter(alias="-o")] = None
    """Folder of throughput.json, table.md, summary.md and plots; what was timed there before, in the same way and on
    the same machine, is kept. Default: runs/throughput-PRESET."""

    def __post_init__(self) -> None:
        for name in ("batches", "lengths", "modes", "forms", "precisions"):
            if not getattr(self, name):
                raise InputError(f"--{name}: found nothing, expected at least one")
        for name in ("steps", "turns"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name}: found {getattr(self, name)}, expected at least 1")
        if not self.seconds > 0:
            raise InputError(f"--seconds: found {self.seconds}, expected a positive number")

    def cases(self) -> list[Case]:
        """Return what is to be timed, one after the other. Raises InputError where one cannot be."""
        systems = expand(self.systems or _SYSTEMS.get(self.preset, _FULL_SIZE_SYSTEMS), (), (), self.preset)
        return [
            Case.of(system, mode, batch, frames, self.preset, precision=precision, seed=self.seed)
            for precision in dict.fromkeys(self.precisions)
            for system in systems
            for frames in dict.fromkeys(self.lengths)
            for batch in dict.fromkeys(self.batches)
            for mode in dict.fromkeys(self.modes)
        ]
