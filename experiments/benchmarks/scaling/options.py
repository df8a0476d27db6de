"""The options of `experiments.scaling`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from experiments.benchmarks.options import SystemOptions
from experiments.cli.options import Many, Out, Switch, Whole, option_class, require_at_least
from madsep_jax.errors import InputError

Platform = Literal["cpu", "accelerator"]
Style = Literal["jit", "pmap"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained, and on what."""

    system: str
    preset: str
    batch: int
    """Sequences of a step, those of all devices together."""
    processes: int = 1
    devices: int = 1
    """Of all processes together; each has as many."""
    styles: tuple[Style, ...] = ("jit",)
    """Measured in the same processes, step by step in turn."""
    steps: int = 20
    """Timed steps of each style."""


@option_class
class ScalingOptions(SystemOptions):
    """What to measure, and where to keep the results."""

    preset: str = "quick"

    devices: Annotated[tuple[int, ...], Many] = (1, 2, 4, 8)
    """Devices, those of all processes together."""

    processes: Annotated[tuple[int, ...], Many] = (1, 2)
    """Processes that share the devices."""

    styles: Annotated[tuple[Style, ...], Many] = ("jit", "pmap")
    """How devices share a batch."""

    batch: Annotated[int, Whole] = 8
    """Sequences in a batch, of all devices together."""

    batch_per_device: Annotated[bool, Switch] = False
    """The batch size is that of each device."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each case, style and round."""

    rounds: Annotated[int, Whole] = 3
    """How often each case is measured, in turns."""

    on: Platform = "cpu"
    """Make the devices of the processor (cpu), or take the accelerators of this computer."""

    out: Annotated[Path, Out] = Path("runs") / "scaling"
    """Folder of scaling.json, table.md and the plot."""

    def __post_init__(self) -> None:
        for name in ("devices", "processes"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                raise InputError(f"--{name}: found {list(values)}, expected numbers of at least 1")
        require_at_least(self, batch=1, steps=1, rounds=1)
        if not self.styles:
            raise InputError("--styles: found nothing, expected jit, pmap or both")
        for count in self.devices:
            if self.batch % count and not self.batch_per_device:
                raise InputError(f"--batch: found {self.batch}, expected a multiple of the {count} devices")
        super().__post_init__()
        if not self.cases():
            raise InputError(f"--devices: found {list(self.devices)}, expected multiples of the processes")

    def cases(self) -> list[Case]:
        """Return what is measured. Devices that the processes cannot share equally are left out."""
        return [
            Case(
                system=self.system,
                preset=self.preset,
                batch=self.batch * devices if self.batch_per_device else self.batch,
                processes=processes,
                devices=devices,
                styles=self.styles,
                steps=self.steps,
            )
            for processes in self.processes
            for devices in self.devices
            if devices % processes == 0
        ]
