"""Time the separators' inference and training steps, and PyTorch's beside them.

`python -m experiments.throughput --systems mad dws-5-64 --peer torch` takes two CPU cores about eight minutes, at full
size, batch 4 and 60 frames.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.benchmarks.options import saved_options
from experiments.benchmarks.throughput.options import ThroughputOptions
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.signals import keeps
from madsep_jax.errors import InputError
from madsep_jax.host.memory import keep_freed_memory

_DEFAULTS = ThroughputOptions()
app = App(name="throughput", usage="Usage: python -m experiments.throughput [OPTIONS]")


@app.default
def throughput(options: ThroughputOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Time the separators' inference and training steps, and PyTorch's beside them.

    All variants of one system and size take turns in one process. Results are written after each.
    """
    from experiments.benchmarks.peer.settings import start_torch
    from experiments.benchmarks.throughput.peak import best_peaks
    from experiments.benchmarks.throughput.report import Timings
    from experiments.benchmarks.throughput.run_case import PEERS, compare_training_losses, run_case

    console, cases, out = make_console(), options.cases(), options.folder
    if options.keep_freed_memory and not keep_freed_memory():
        raise InputError("--keep-freed-memory: found another C library, expected glibc")
    peers = PEERS[options.peer] if options.peer else ()
    settings = {"options": saved_options(options, out=out), "torch": start_torch() if peers else None}
    show_device(console, device)
    timings = Timings.find(out, settings, cases)
    timings.peaks = best_peaks(options.precisions, timings.peaks)
    compared = set()
    with Bar(console, "throughput", len(cases)) as bar:
        for number, case in enumerate(cases):

            def on_stage(stage: str, number: int = number, title: str = case.title) -> None:
                bar.advance_to(number, f"{title}: {stage}")

            if peers and (case.system, case.precision) not in compared:
                on_stage("comparing training losses")
                compare_training_losses(case, options.forms)
                compared.add((case.system, case.precision))
            timings.rows += run_case(case, options.forms, options, peers, on_stage)
            timings.report().write(out)
            keeps(f"what was measured until then: {out}/")
            bar.advance_to(number + 1)
    timings.peaks = best_peaks(options.precisions, timings.peaks)
    report = timings.report()
    report.write(out)
    console.print(timings.table().terminal(out / "table.md", timings.failed()))
    for line in [timings.caption(), *timings.disturbed()]:
        say(console, line)
    report.show_files(console, out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
