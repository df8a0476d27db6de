"""Measure how long programs take to compile, what shortens that, and when it has paid.

`python -m experiments.compile_time` compiles the full-size systems stage by stage, against depth and sequence length,
with and without the persistent compilation cache, exported and not, and compares them with uncompiled runs. The last
takes longest; `--parts` takes any part alone, and adds it to what its folder holds.
"""

import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from experiments.benchmarks.compile_time.options import CompileOptions
from experiments.benchmarks.compile_time.parts import Part, make_parts
from experiments.benchmarks.compile_time.report import Report, part_terminal
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from madsep_jax.config.io import override, to_dict
from madsep_jax.config.presets import preset_config
from madsep_jax.config.run import RunConfig

_DEFAULTS = CompileOptions()

app = App(
    name="compile_time",
    help=__doc__.split("\n\n")[0],
    usage="Usage: python -m experiments.compile_time [OPTIONS]",
    version_flags=[],
)


@app.default
def compile_time(options: CompileOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure how long programs take to compile, what shortens that, and when it has paid."""
    console = make_console()
    show_device(console, device)
    base = base_config(options)
    parts = make_parts(options, base)
    report = Report.find(options.out, base)
    for name, part in parts.items():
        with Bar(console, name, len(part.programs) * part.advances * options.repeats) as bar:
            rows = part.measure(part.programs, options.repeats, bar.advance)
        report.add(name, rows, configs_of(part), options.repeats)
        console.print(part_terminal(name, report.parts[name]["rows"]))
    say(console, report.caption)
    say(console, f"Results: {options.out}/ (compile_time.json, table.md, plots)")


def base_config(options: CompileOptions) -> RunConfig:
    """Return what all programs share. Raises InputError on a value that the configuration refuses."""
    changes: dict[str, Any] = {"compute.operations": options.operations}
    if options.batch is not None:
        changes["training.batch_size"] = options.batch
    return override(preset_config(options.preset), changes)


def configs_of(part: Part) -> dict[str, Any]:
    """Return the whole configuration of each system of a part, as it is at its first program."""
    configs: dict[str, Any] = {}
    for program in part.programs:
        configs.setdefault(program.system, to_dict(program.config))
    return configs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
