"""Memory of a train step as it is compiled: in float32 and bfloat16, with blocks kept or computed again, in parts.

`python -m experiments.training_memory` takes the largest DWS-CNN of the paper's Table I at batch 64. Nothing is run:
the compiler plans all memory of a step before, and says how much.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.benchmarks.training_memory.options import MemoryOptions
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, show_device, tracked

_DEFAULTS = MemoryOptions()
app = App(name="training_memory", usage="Usage: python -m experiments.training_memory [OPTIONS]")


@app.default
def training_memory(options: MemoryOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Compile a train step in float32 and bfloat16, with blocks kept or computed again, and say what each takes."""
    from experiments.benchmarks.training_memory.measure import make_report, measure

    console = make_console()
    show_device(console, device)
    rows = [measure(case) for case in tracked(console, "compiling", options.cases())]
    make_report(rows, options).finish(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
