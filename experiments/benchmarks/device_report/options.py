"""The options of `experiments.device_report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.benchmarks.case import Case, Form, Mode
from experiments.cli.options import Many, Whole
from madsep_jax.config.systems import expand
from madsep_jax.errors import InputError

TIMED_MODES: tuple[Mode, ...] = ("forward", "train")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What to report on, and how long it may take."""

    systems: Annotated[tuple[str, ...], Many] = (
        "mad",
        "dws-5-64",
        "dws-7-256",
        "mad-twinnet",
        "mad-ris-s",
        "mad-dilated",
        "dilated-gru",
        "dws-5-64-res",
        "dws-5-64-dilated",
        "dws-5-64-k3",
        "dae",
        "skip-filtering",
    )
    """Systems to check and to profile, the most important first."""

    timed: Annotated[tuple[str, ...], Many] = ("mad", "dws-5-64", "dws-7-256", "mad-twinnet")
    """Systems whose throughput is measured, the most important first."""

    batches: Annotated[tuple[int, ...], Many] = (4, 16, 64, 256)
    """Sequences in a batch; those after the first are timed with the first of --lengths alone."""

    lengths: Annotated[tuple[int, ...], Many] = (60, 240, 960)
    """Frames of a sequence; those after the first are timed with the first of --batches alone."""

    forms: Annotated[tuple[Form, ...], Many] = ("plain", "fast")
    """Forms of our operations."""

    peer: Literal["torch", "none"] = "torch"
    """Time PyTorch as well."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each variant."""

    seconds: float = 2.0
    """A variant whose timed steps take so long in all does fewer, but one in each turn."""

    turns: Annotated[int, Whole] = 2
    """Over how many turns the steps of a variant are spread. Each starts with one more step, which is not timed."""

    budget_s: float = 540.0
    """Seconds that all of it may take; what does not fit is left out, and named."""

    preset: str = "paper"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs/device-report")
    """Folder of device_report.json, table.md and plots."""

    def __post_init__(self) -> None:
        for name in ("systems", "timed", "batches", "lengths", "forms"):
            if not getattr(self, name):
                raise InputError(f"--{name}: found nothing, expected at least one")
        for name in ("steps", "seconds", "turns", "budget_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"--{name.replace('_', '-')}: found {getattr(self, name)}, expected more than 0")
        expand(self.systems + self.timed, (), (), self.preset)

    def case(self, system: str, mode: Mode, batch: int | None = None, frames: int | None = None) -> Case:
        """Return a case, by default of the first size."""
        return Case.of(system, mode, batch or self.batches[0], frames or self.lengths[0], self.preset)

    def timed_cases(self, system: str) -> list[Case]:
        """Return all sizes of a system: the batches at the first length, then the other lengths at the first batch."""
        sizes = [(batch, self.lengths[0]) for batch in self.batches]
        sizes += [(self.batches[0], frames) for frames in self.lengths[1:]]
        return [self.case(system, mode, batch, frames) for batch, frames in sizes for mode in TIMED_MODES]
