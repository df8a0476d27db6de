"""Time the scoring of songs by madsep_jax.bss_eval and by museval, and measure the memory that the former needs.

`python -m experiments.evaluation_speed --data ~/MUSDB18-HQ --targets stems --cases leaking swapped` scores real stems.
"""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App

from experiments.benchmarks.evaluation_speed.options import SpeedOptions
from experiments.benchmarks.options import saved_options
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, show_device, tracked
from experiments.data.options import EMBEDDED
from madsep_jax.host.environment import cpu_cores

_DEFAULTS = SpeedOptions()
app = App(name="evaluation_speed", usage="Usage: python -m experiments.evaluation_speed [OPTIONS]")


@app.default
def evaluation_speed(options: SpeedOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Time the scoring of songs by madsep_jax.bss_eval and by museval, and measure the memory that the former needs.

    Both take turns on the same songs and cores, once a song at a time, with all cores for it, and once as many songs at
    a time as there are cores. Peak memory, and the first call with its compilation, are those of a new process.
    """
    from experiments.benchmarks.evaluation_speed.cases import made_up_song, score_in_new_process, songs_of
    from experiments.benchmarks.evaluation_speed.measure import make_report, measure

    console = make_console()
    show_device(console, device)
    place = options.data if options.data == EMBEDDED else Path(options.data).resolve().name
    sets = {f"{place}, {case}": songs_of(options.data, options.targets, case) for case in options.cases}
    made_up = made_up_song(options.seconds)
    sets[made_up.name] = [made_up]
    workers = sorted({1, cpu_cores()})  # songs at a time
    cases = list(itertools.product(options.protocols, sets, workers))
    rows = [
        {"protocol": protocol, "songs": name, **measure(sets[name], protocol, at_a_time, options)}
        for protocol, name, at_a_time in tracked(console, "evaluation speed", cases)
    ]
    new_process = {
        protocol: score_in_new_process(protocol, options.seconds)
        for protocol in tracked(console, "memory, first call", options.protocols)
    }
    make_report(rows, new_process, saved_options(options, data=place)).finish(console, options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
