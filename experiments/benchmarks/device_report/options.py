"""The options of `experiments.device_report`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments.benchmarks.options import Form, Precision, VariantOptions, require_some
from experiments.cli.options import Many, Out, Switch, Systems, Whole, option_class, require_positive

#: What `--rehearse` has in the place of defaults: the same steps, at a size that takes a CPU a minute or two.
_REHEARSED: dict[str, Any] = {
    "preset": "quick",
    "steps": 2,
    "seconds": 0.2,
    "turns": 1,
    "systems": (
        "mad",
        "dws-2-8",
        "dws-2-16",
        "mad-twinnet",
        "mad-ris-s",
        "mad-mingru",
        "mad-dilated",
        "dilated-gru",
        "dws-2-8-res",
        "dws-2-8-dilated",
        "dws-2-8-k3",
        "dae",
        "skip-filtering",
    ),
    "timed": ("mad", "dws-2-8", "dws-2-16", "mad-twinnet"),
    "batches": (1, 2),
    "lengths": (24, 28),
}


@option_class
class ReportOptions(VariantOptions):
    """What to report on, and how long it may take."""

    seconds: float = 2.0

    turns: Annotated[int, Whole] = 2

    systems: Annotated[tuple[str, ...], Many, Systems] = (
        "mad",
        "dws-5-64",
        "dws-7-256",
        "mad-twinnet",
        "mad-ris-s",
        "mad-mingru",
        "mad-dilated",
        "dilated-gru",
        "dws-5-64-res",
        "dws-5-64-dilated",
        "dws-5-64-k3",
        "dae",
        "skip-filtering",
    )
    """Systems to check, the most important first."""

    timed: Annotated[tuple[str, ...], Many, Systems] = ("mad", "dws-5-64", "dws-7-256", "mad-twinnet")
    """Systems whose throughput is measured, the most important first: the first three at all sizes and precisions."""

    batches: Annotated[tuple[int, ...], Many, Whole] = (4, 16, 64, 256)
    """Sequences in a batch; those after the first are timed with the first of --lengths alone."""

    lengths: Annotated[tuple[int, ...], Many, Whole] = (60, 240, 960)
    """Frames of a sequence; those after the first are timed with the first of --batches alone."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32", "bfloat16", "tf32")
    """Those after the first are timed in the train step of the first size alone."""

    forms: Annotated[tuple[Form, ...], Many] = ("plain", "fast")
    """Forms of our operations; fast: the one that is written for this device."""

    peer: Literal["torch", "none"] = "torch"
    """Time PyTorch as well."""

    rehearse: Annotated[bool, Switch] = False
    """Go through all of it at a small size, to see that it works here: what is not given is small, and no time says
    anything."""

    budget_s: float = 540.0
    """Seconds that all of it may take; what does not fit is left out, and its row says so."""

    out: Annotated[Path, Out] = Path("runs/device-report")
    """Folder of device_report.json, table.md and plots."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "systems", "timed", "batches", "lengths", "precisions", "forms")
        require_positive(self, "budget_s")
        if not self.rehearse:
            self.expand(self.systems + self.timed)

    def sized(self) -> "ReportOptions":
        """Return the options at the size of a rehearsal, where one is asked for. Raises InputError likewise."""
        if not self.rehearse:
            return self
        default = ReportOptions()
        small = {name: value for name, value in _REHEARSED.items() if getattr(self, name) == getattr(default, name)}
        sized = replace(self, **small)
        sized.expand(sized.systems + sized.timed)
        return sized
