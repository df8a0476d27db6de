"""Measure what several steps in a call, and several seeds in a program, gain: small models, one device.

`python -m experiments.dispatch` takes two CPU cores about four minutes.
"""

import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from experiments.benchmarks.dispatch.options import DispatchOptions
from experiments.benchmarks.options import saved_options
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, show_device
from experiments.cli.signals import keeps

_DEFAULTS = DispatchOptions()
app = App(name="dispatch", usage="Usage: python -m experiments.dispatch [OPTIONS]")


@app.default
def dispatch(options: DispatchOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure what several steps in a call, and several seeds in a program, gain over one by one."""
    from experiments.benchmarks.dispatch.ways import TimedTraining, make_report
    from experiments.benchmarks.rounds import in_turn

    console, cases = make_console(), options.cases()
    show_device(console, device)
    counts = [(steps, seeds) for seeds in (1, options.seeds) for steps in (1, options.steps_per_call)]
    rows: list[dict[str, Any]] = []
    with Bar(console, "dispatch", len(cases) * options.rounds) as bar:
        for case in cases:
            trainings = [TimedTraining(case, steps, seeds) for steps, seeds in counts]
            found = in_turn(
                trainings, options.rounds, lambda one: one.run(options.steps), moving=True, on_round=bar.advance
            )
            rows += [training.row(step_s) for training, step_s in found.items()]
            report = make_report(rows, saved_options(options))
            report.write(options.out)
            keeps(f"what was measured until then: {options.out}/")
    report.finish(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
