"""Measure how long programs take to compile, what shortens that, and when it has paid.

`python -m experiments.compile_time` compiles the full-size systems stage by stage, against depth and sequence length,
with and without the persistent compilation cache, exported and not, and compares them with uncompiled runs. The last
takes longest; `--parts` takes any part alone, and adds it to what its folder holds.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.benchmarks.compile_time.options import CompileOptions
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.signals import keeps

_DEFAULTS = CompileOptions()
app = App(
    name="compile_time", help=__doc__.split("\n\n")[0], usage="Usage: python -m experiments.compile_time [OPTIONS]"
)


@app.default
def compile_time(options: CompileOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure how long programs take to compile, what shortens that, and when it has paid."""
    from experiments.benchmarks.compile_time.parts import make_parts
    from experiments.benchmarks.compile_time.report import CompileTimes

    console = make_console()
    show_device(console, device)
    parts = make_parts(options)
    times = CompileTimes.find(options.out, options.base())
    for name, part in parts.items():
        with Bar(console, name, len(part.cases) * options.repeats) as bar:
            rows = part.run(options.repeats, bar.advance)
        times.add(name, part, rows, options.repeats)
        times.report().write(options.out)
        keeps(f"what was measured until then: {options.out}/")
        console.print(times.table(name).terminal())
    say(console, times.caption)
    times.report().show_files(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
