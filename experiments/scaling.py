"""Measure a train step on several devices and processes, with several steps in a call, and of several seeds together.

`python -m experiments.scaling` makes devices of the processor; with `--on accelerator` it takes those that there are.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from experiments.command import run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.option_types import Many, Whole
from experiments.progress import Bar, make_console, say
from experiments.sharing.cases import Case, Measured, Platform, environment_of, run_case
from experiments.sharing.report import markdown, write
from experiments.systems import expand
from madsep_jax.errors import InputError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """What to measure, and where to keep the results."""

    system: str = "dws-3-16"
    """System to train, by the names of `experiments.ablation`."""

    preset: str = "quick"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    devices: Annotated[tuple[int, ...], Many] = (1, 2, 4, 8)
    """Devices, those of all processes together."""

    processes: Annotated[tuple[int, ...], Many] = (1, 2)
    """Processes that share the devices."""

    styles: Annotated[tuple[Literal["jit", "pmap"], ...], Many] = ("jit", "pmap")
    """How devices share a batch."""

    batch: Annotated[int, Whole] = 8
    """Sequences in a batch, of all devices together."""

    batch_per_device: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """The batch size is that of each device."""

    steps_per_call: Annotated[tuple[int, ...], Many] = (1, 16)
    """Steps in one call; others than 1 on one device, by jit."""

    seeds: Annotated[tuple[int, ...], Many] = (1, 5)
    """Seeds trained together; others than 1 on one device, by jit."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each case and round."""

    rounds: Annotated[int, Whole] = 3
    """How often each case is measured, in turns."""

    on: Platform = "cpu"
    """Make the devices of the processor (cpu), or take the accelerators of this computer."""

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs") / "scaling"
    """Folder of scaling.json, table.md and the plot."""

    def __post_init__(self) -> None:
        for name in ("devices", "processes", "steps_per_call", "seeds"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                raise InputError(f"--{name.replace('_', '-')}: found {list(values)}, expected numbers of at least 1")
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

    def cases(self) -> list[Case]:
        """Return what is measured. Devices that the processes cannot share equally are left out."""
        found = [
            self._case(self.batch * devices if self.batch_per_device else self.batch, style, processes, devices)
            for style in self.styles
            for processes in self.processes
            for devices in self.devices
            if devices % processes == 0
        ]
        found += [self._case(self.batch, steps_per_call=steps) for steps in self.steps_per_call if steps > 1]
        return found + [self._case(self.batch, seeds=seeds) for seeds in self.seeds if seeds > 1]

    def _case(
        self,
        batch: int,
        style: Literal["jit", "pmap"] = "jit",
        processes: int = 1,
        devices: int = 1,
        steps_per_call: int = 1,
        seeds: int = 1,
    ) -> Case:
        return Case(self.system, self.preset, batch, style, processes, devices, steps_per_call, seeds, self.steps)


_DEFAULTS = ScalingOptions()
app = App(name="scaling", usage="Usage: python -m experiments.scaling [OPTIONS]", version_flags=[])


@app.default
def scaling(options: ScalingOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure a train step on several devices and processes, and with several steps or seeds in a call."""
    console = make_console()
    show_device(console, device, environment_of(options.on))
    measured = [Measured(case) for case in options.cases()]
    if not measured:
        raise InputError(f"--devices: found {list(options.devices)}, expected multiples of the processes")
    settings = {**asdict(options), "out": options.out.name}
    with Bar(console, "scaling", options.rounds * len(measured)) as bar:
        for _ in range(options.rounds):
            for one in measured:
                found = run_case(one.case, options.on)
                one.step_s.append(found["step_s"])
                one.compile_s.append(found["compile_s"])
                one.loss = found["loss"]
                bar.advance()
            write(measured, settings, options.out)
    say(console, markdown(measured, settings))
    say(console, f"Results: {options.out}/ (scaling.json, table.md, scaling.png)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
