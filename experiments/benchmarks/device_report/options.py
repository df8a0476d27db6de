"""The options of `experiments.device_report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from experiments.benchmarks.options import Form, Mode, VariantOptions, require_some
from experiments.cli.options import Many, Out, Whole, option_class
from madsep_jax.errors import InputError

if TYPE_CHECKING:
    from experiments.benchmarks.case import Case

MODES: tuple[Mode, ...] = ("forward", "train")


@option_class
class ReportOptions(VariantOptions):
    """What to report on, and how long it may take."""

    seconds: float = 2.0

    turns: Annotated[int, Whole] = 2

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

    batches: Annotated[tuple[int, ...], Many, Whole] = (4, 16, 64, 256)
    """Sequences in a batch; those after the first are timed with the first of --lengths alone."""

    lengths: Annotated[tuple[int, ...], Many, Whole] = (60, 240, 960)
    """Frames of a sequence; those after the first are timed with the first of --batches alone."""

    forms: Annotated[tuple[Form, ...], Many] = ("plain", "fast")
    """Forms of our operations."""

    peer: Literal["torch", "none"] = "torch"
    """Time PyTorch as well."""

    budget_s: float = 540.0
    """Seconds that all of it may take; what does not fit is left out, and named."""

    out: Annotated[Path, Out] = Path("runs/device-report")
    """Folder of device_report.json, table.md and plots."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "systems", "timed", "batches", "lengths", "forms")
        if not self.budget_s > 0:
            raise InputError(f"--budget-s: found {self.budget_s}, expected more than 0")
        self.expand(self.systems + self.timed)

    def case(self, system: str, mode: Mode, batch: int | None = None, frames: int | None = None) -> "Case":
        """Return a case, by default of the first size."""
        from experiments.benchmarks.case import Case

        return Case.of(system, mode, batch or self.batches[0], frames or self.lengths[0], self.preset)

    def timed_cases(self, system: str) -> "list[Case]":
        """Return all sizes of a system: the batches at the first length, then the other lengths at the first batch."""
        sizes = [(batch, self.lengths[0]) for batch in self.batches]
        sizes += [(self.batches[0], frames) for frames in self.lengths[1:]]
        return [self.case(system, mode, batch, frames) for batch, frames in sizes for mode in MODES]
