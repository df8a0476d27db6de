"""Measure how long programs take to compile, what shortens that, and when it has paid.

`python -m experiments.compile_time` compiles the full-size systems stage by stage, against depth and sequence length,
with and without the persistent compilation cache, exported and not, and compares them with uncompiled runs. The last
takes longest; `--parts` takes any part alone, and adds it to what its folder holds.

`python -m experiments.compile_time --target tpu:v5e:2x2 cuda:h200` compiles train steps for devices that are not here,
and tells what they plan: memory, kernels, bytes, arithmetic. A row that its folder has is not compiled again.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.benchmarks.compile_time.options import CompileOptions, TargetOptions
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.signals import keeps

_DEFAULTS, _HERE = CompileOptions(), TargetOptions()
app = App(
    name="compile_time", help=__doc__.split("\n\n")[0], usage="Usage: python -m experiments.compile_time [OPTIONS]"
)


@app.default
def compile_time(
    options: CompileOptions = _DEFAULTS, targets: TargetOptions = _HERE, device: DeviceOptions = ANY_DEVICE
) -> None:
    """Measure how long programs take to compile, what shortens that, and when it has paid.

    With --target: what train steps plan on devices that are not here.
    """
    from experiments.benchmarks.compile_time.parts import make_parts
    from experiments.benchmarks.compile_time.report import CompileTimes
    from experiments.benchmarks.compile_time.targets import PlannedRows, planned_cases
    from experiments.benchmarks.compile_time.targets_report import make_report

    console = make_console()
    if targets.target:
        cases = planned_cases(options, targets)
        planned = PlannedRows.find(options.folder(planned=True), options.preset)
        say(console, f"planned, not measured: {', '.join(targets.target)}")
        with Bar(console, "compiling", len(missing := planned.missing(cases, targets.again)), kept=True) as bar:
            for case in missing:
                planned.add(case)
                make_report(planned).write(planned.folder)
                bar.advance()
        make_report(planned).finish(console, planned.folder)
        return
    show_device(console, device)
    parts = make_parts(options)
    folder = options.folder(planned=False)
    times = CompileTimes.find(folder, options.base())
    for name, part in parts.items():
        with Bar(console, name, len(part.cases) * options.repeats) as bar:
            rows = part.run(options.repeats, bar.advance)
        times.add(name, part, rows, options.repeats)
        times.report().write(folder)
        keeps(f"what was measured until then: {folder}/")
        console.print(times.table(name).terminal(folder / "table.md"))
    say(console, times.caption)
    times.report().show_files(console, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
