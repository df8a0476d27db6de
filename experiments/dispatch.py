"""Measure what several steps in a call, and several seeds in a program, gain: small models, one device.

`python -m experiments.dispatch` takes two CPU cores about four minutes.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from cyclopts import App

from experiments.benchmarks.dispatch.options import DispatchOptions
from experiments.benchmarks.dispatch.report import markdown, write
from experiments.benchmarks.dispatch.ways import TimedTraining
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device

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
