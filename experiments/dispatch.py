"""Measure what several steps in a call, and several seeds in a program, gain: small models, one device.

`python -m experiments.dispatch` takes two CPU cores about four minutes.
"""

import sys
from collections.abc import Sequence
from functools import partial

from cyclopts import App

from experiments.benchmarks.dispatch.options import DispatchOptions
from experiments.benchmarks.dispatch.ways import TimedTraining, Way, make_report
from experiments.benchmarks.options import settings_of
from experiments.benchmarks.rounds import in_turn
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, show_device

_DEFAULTS = DispatchOptions()

app = App(name="dispatch", usage="Usage: python -m experiments.dispatch [OPTIONS]", version_flags=[])


@app.default
def dispatch(options: DispatchOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure what several steps in a call, and several seeds in a program, gain over one by one."""
    console, cases = make_console(), options.cases()
    show_device(console, device)
    counts = [(steps, seeds) for seeds in (1, options.seeds) for steps in (1, options.steps_per_call)]
    measured: list[Way] = []
    with Bar(console, "dispatch", len(cases) * options.rounds) as bar:
        for case in cases:
            trainings = {count: TimedTraining(case, *count) for count in counts}
            runs = {count: partial(training.run, options.steps) for count, training in trainings.items()}
            step_s = in_turn(runs, options.rounds, moving=True, on_round=bar.advance)
            measured += [Way(case.system, *count, trainings[count].compile_s, step_s[count]) for count in counts]
            report = make_report(measured, settings_of(options))
            report.write(options.out)
    report.show(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
