"""Measure how fast training sequences come from prepared sets, and how long a training waits for them.

`python -m experiments.input_throughput` prepares the embedded songs at full size (0.7 GB) and takes two CPU cores about
six minutes; --prepared takes sets of your own.
"""

import itertools
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from experiments.benchmarks.input_throughput.options import InputOptions
from experiments.benchmarks.options import saved_options
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, show_device, tracked
from experiments.cli.signals import keeps
from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config

_DEFAULTS = InputOptions()
app = App(name="input_throughput", usage="Usage: python -m experiments.input_throughput [OPTIONS]")


@app.default
def input_throughput(options: InputOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Measure how fast training sequences come from prepared sets, and how long a training waits for them."""
    from experiments.data.prepared import PreparedTraining

    console = make_console()
    base = preset_config(options.preset)
    systems = options.expand(options.systems) if options.training else []
    show_device(console, device)

    from data_pipelines.prepared.reader import PreparedSongs
    from experiments.benchmarks.input_throughput.measure import (
        Source,
        make_report,
        measure_pipelines,
        measure_training,
        prepare_embedded,
    )

    folders = options.prepared or prepare_embedded(base, options.out / "sets", console)
    sets = [PreparedTraining.find(folder) for folder in folders]

    sources: list[Source] = []
    for one in sets:
        kind = one.index.settings
        name = kind.features if kind.features == "waveform" else f"{kind.features} {kind.dtype}"
        config = override(base, {"data.features": kind.features, "training.batch_size": max(options.batches)})
        one.order(config)  # raises where the set is of other settings
        sources.append((name, PreparedSongs(one.folder), config))
    names = [f"{one.index.name}/{one.index.settings.config_name}" for one in sets]
    settings = saved_options(options, prepared=names)
    cases = list(itertools.product(systems, options.batches, sources))
    trainings: list[dict[str, Any]] = []
    pipelines = measure_pipelines(sources, max(options.batches), options.seconds)
    for system, batch, source in tracked(console, "input", cases):
        trainings.append(measure_training(source, system, batch, options.steps))
        make_report(pipelines, trainings, settings).write(options.out)
        keeps(f"what was measured until then: {options.out}/")
    make_report(pipelines, trainings, settings).finish(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
