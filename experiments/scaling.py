"""Measure a train step on several devices and processes.

`python -m experiments.scaling` makes devices of the processor, which takes two CPU cores about six minutes; with
`--on accelerator` it takes those that there are.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.benchmarks.options import saved_options
from experiments.benchmarks.scaling.options import ScalingOptions
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, show_device

_DEFAULTS = ScalingOptions()
app = App(name="scaling", usage="Usage: python -m experiments.scaling [OPTIONS]")


@app.default
def scaling(options: ScalingOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure a train step on several devices and processes: its time, and what each device keeps of its speed."""
    from experiments.benchmarks.rounds import in_turn
    from experiments.benchmarks.scaling.measure import environment_of, run_case
    from experiments.benchmarks.scaling.report import make_report

    console, cases = make_console(), options.cases()
    show_device(console, device, environment_of(options.on))
    with Bar(console, "scaling", options.rounds * len(cases)) as bar:
        found = in_turn(cases, options.rounds, lambda case: run_case(case, options.on), on_turn=bar.advance)
    make_report(found, saved_options(options)).finish(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
