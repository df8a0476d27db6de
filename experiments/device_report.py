"""Everything about one accelerator in one command: whether it is right, how fast it is, and what takes the time.

`python -m experiments.device_report` needs an accelerator, PyTorch for the comparison, and ten minutes; without an
accelerator it reports on the CPU. It needs none of the packages for songs and scores.
"""

import sys
import time
from collections.abc import Sequence

from experiments.cli.parser import App

from experiments.benchmarks.device_report.options import ReportOptions
from experiments.benchmarks.options import saved_options
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, say, show_device

_DEFAULTS = ReportOptions()
app = App(name="device_report", usage="Usage: python -m experiments.device_report [OPTIONS]")


@app.default
def device_report(options: ReportOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Check, time and profile the separators on this machine's accelerator, in a given time.

    Correctness: every system, on the accelerator in float32 against the CPU in float64. Throughput: plain and fast
    forms beside PyTorch. Profile: the operations that take most time.
    """
    import jax

    from experiments.benchmarks.device_report.parts import Progress, check, measure, profile, show
    from experiments.benchmarks.peer.settings import start_torch

    start = time.monotonic()
    console = make_console()
    settings = {"options": saved_options(options), "torch": start_torch() if options.peer == "torch" else None}
    show_device(console, device)
    if jax.default_backend() == "cpu":
        say(console, "No accelerator: this is a report on the CPU itself.")
    progress = Progress(options, settings, console, start)
    check(progress, until=0.25)
    measure(progress, until=0.85)
    profile(progress, until=1.0)
    progress.timings.report().write(options.out)
    progress.write()
    show(progress)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
