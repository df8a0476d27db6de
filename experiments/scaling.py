"""Measure a train step on several devices and processes.

`python -m experiments.scaling` makes devices of the processor, which takes two CPU cores about six minutes; with
`--on accelerator` it takes those that there are.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from experiments.command import run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.option_types import Many, Whole
from experiments.progress import Bar, make_console, say
from experiments.sharing.cases import Case, Platform, Style, environment_of, run_case
from experiments.sharing.report import ScalingReport
from experiments.systems import expand
from madsep_jax.errors import InputError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """What to measure, and where to keep the results."""

    system: str = "mad"
    """System to train, by the names of `experiments.ablation`."""

    preset: str = "quick"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    devices: Annotated[tuple[int, ...], Many] = (1, 2, 4, 8)
    """Devices, those of all processes together."""

    processes: Annotated[tuple[int, ...], Many] = (1, 2)
    """Processes that share the devices."""

    styles: Annotated[tuple[Style, ...], Many] = ("jit", "pmap")
    """How devices share a batch."""

    batch: Annotated[int, Whole] = 8
    """Sequences in a batch, of all devices together."""

    batch_per_device: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """The batch size is that of each device."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each case, style and round."""

    rounds: Annotated[int, Whole] = 3
    """How often each case is measured, in turns."""

    on: Platform = "cpu"
    """Make the devices of the processor (cpu), or take the accelerators of this computer."""

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs") / "scaling"
    """Folder of scaling.json, table.md and the plot."""

    def __post_init__(self) -> None:
        for name in ("devices", "processes"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                raise InputError(f"--{name}: found {list(values)}, expected numbers of at least 1")
        for name in ("batch", "steps", "rounds"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name}: found {getattr(self, name)}, expected at least 1")
        if not self.styles:
            raise InputError("--styles: found nothing, expected jit, pmap or both")
        for count in self.devices:
            if self.batch % count and not self.batch_per_device:
                raise InputError(f"--batch: found {self.batch}, expected a multiple of the {count} devices")
        if len(expand((self.system,), (), (), self.preset)) != 1:
            raise InputError(f"--system: found {self.system!r}, expected one system")
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


_DEFAULTS = ScalingOptions()
app = App(name="scaling", usage="Usage: python -m experiments.scaling [OPTIONS]", version_flags=[])


@app.default
def scaling(options: ScalingOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure a train step on several devices and processes: its time, and what each device keeps of its speed."""
    console, cases = make_console(), options.cases()
    show_device(console, device, environment_of(options.on))
    report = ScalingReport.of(cases, {**asdict(options), "out": options.out.name})
    with Bar(console, "scaling", options.rounds * len(cases)) as bar:
        for _ in range(options.rounds):
            for case in cases:
                report.add(case, run_case(case, options.on))
                bar.advance()
        report.write(options.out)
    say(console, report.markdown())
    say(console, f"Results: {options.out}/ (scaling.json, table.md, scaling.png)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
