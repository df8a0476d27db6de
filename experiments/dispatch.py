"""Measure what several steps in a call, and several seeds in a program, gain: small models, one device.

`python -m experiments.dispatch` takes two CPU cores about four minutes.
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
from experiments.sharing.dispatch_report import markdown, write
from experiments.sharing.ways import TimedTraining
from experiments.systems import expand
from experiments.timing.cases import Case
from madsep_jax.errors import InputError
from madsep_jax.presets import preset_config


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DispatchOptions:
    """What to measure, and where to keep the results."""

    systems: Annotated[tuple[str, ...], Many] = ("mad", "dws-3-16", "dae")
    """Systems to train, by the names of `experiments.ablation`."""

    preset: str = "quick"
    """Size of the signal and recipe: quick (a quarter of the size), or paper."""

    batch: Annotated[int, Whole] = 4
    """Sequences in a batch of each seed."""

    steps_per_call: Annotated[int, Whole] = 16
    """Steps in one call, compared with 1."""

    seeds: Annotated[int, Whole] = 5
    """Seeds trained together, compared with 1."""

    steps: Annotated[int, Whole] = 16
    """Timed steps of each seed, way and round, in whole calls."""

    rounds: Annotated[int, Whole] = 5
    """How often each way is measured, in turns."""

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs") / "dispatch"
    """Folder of dispatch.json and table.md."""

    def __post_init__(self) -> None:
        for name, least in {"batch": 1, "steps_per_call": 2, "seeds": 2, "steps": 1, "rounds": 1}.items():
            if getattr(self, name) < least:
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option}: found {getattr(self, name)}, expected at least {least}")
        if not self.systems:
            raise InputError("--systems: found nothing, expected at least one")

    def cases(self) -> list[Case]:
        """Return the systems at their size. Raises InputError on an unknown system or preset."""
        frames = preset_config(self.preset).sequences.frames
        systems = expand(self.systems, (), (), self.preset)
        return [Case.of(system, "train", self.batch, frames, self.preset) for system in systems]


_DEFAULTS = DispatchOptions()
app = App(name="dispatch", usage="Usage: python -m experiments.dispatch [OPTIONS]", version_flags=[])


@app.default
def dispatch(options: DispatchOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure what several steps in a call, and several seeds in a program, gain over one by one."""
    console, cases = make_console(), options.cases()
    show_device(console, device)
    settings = {**asdict(options), "out": options.out.name}
    counts = [(steps, seeds) for seeds in (1, options.seeds) for steps in (1, options.steps_per_call)]
    measured = []
    with Bar(console, "dispatch", len(cases) * options.rounds) as bar:
        for case in cases:
            trainings = [TimedTraining(case, steps, seeds) for steps, seeds in counts]
            measured += [training.way for training in trainings]
            for number in range(options.rounds):
                for training in trainings if number % 2 == 0 else reversed(trainings):
                    training.run(options.steps)
                write(measured, settings, options.out)
                bar.advance()
    say(console, markdown(measured))
    say(console, f"Results: {options.out}/ (dispatch.json, table.md)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
