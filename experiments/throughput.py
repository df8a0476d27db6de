"""Time the separators' inference and training steps, and PyTorch's beside them.

`python -m experiments.throughput --systems mad dws-5-64 --peer torch` takes two CPU cores about eight minutes, at full
size, batch 4 and 60 frames.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclopts import App

from experiments.benchmarks.case import Case
from experiments.benchmarks.peer.settings import share_memory, torch_settings
from experiments.benchmarks.throughput.options import ThroughputOptions
from experiments.benchmarks.throughput.ours import computing_in
from experiments.benchmarks.throughput.peak import Peak, measure_peak
from experiments.benchmarks.throughput.report import Report
from experiments.benchmarks.throughput.result import Earlier, VariantResult
from experiments.benchmarks.throughput.run_case import compare_training_losses, run_case
from experiments.cli.command import INTERRUPTED, run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from madsep_jax.errors import InputError
from madsep_jax.host.memory import keep_freed_memory

_DEFAULTS = ThroughputOptions()

app = App(name="throughput", usage="Usage: python -m experiments.throughput [OPTIONS]", version_flags=[])


@app.default
def throughput(options: ThroughputOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> int:
    """Time the separators' inference and training steps, and PyTorch's beside them.

    All variants of one system and size take turns in one process. Results are written after each.
    """
    console = make_console()
    cases = options.cases()
    if options.keep_freed_memory and not keep_freed_memory():
        raise InputError("--keep-freed-memory: found another C library, expected glibc")
    out = options.out or Path("runs") / f"throughput-{options.preset}"
    with_torch = options.peer == "torch"
    if with_torch:
        share_memory()
    settings = {"options": _json_options(options, out), "torch": torch_settings() if with_torch else None}
    show_device(console, device)
    earlier = Earlier.find(out, settings, cases)
    peaks = _faster(earlier.peaks, _measured_peaks(options))
    results = list(earlier.results)
    already = len(results)
    try:
        with Bar(console, "throughput", len(cases)) as bar:
            for number, case in enumerate(cases):

                def on_stage(stage: str, number: int = number, case: Case = case) -> None:
                    bar.advance_to(number, f"{case.title}: {stage}")

                if with_torch and not any(_same_system(case, result) for result in results[already:]):
                    on_stage("comparing training losses")
                    compare_training_losses(case, options.forms)
                results += run_case(
                    case, options.forms, options.steps, options.seconds, options.turns, with_torch, on_stage
                )
                Report(results, peaks, settings, earlier.runs).write(out)
                bar.advance_to(number + 1)
    except KeyboardInterrupt:
        say(console, f"interrupted; what was measured until then: {out}/" if results[already:] else "interrupted")
        return INTERRUPTED
    report = Report(results, _faster(peaks, _measured_peaks(options)), settings, earlier.runs)
    report.write(out)
    console.print(report.terminal_table())
    console.print(report.caption(), markup=False)
    for line in report.disturbed():
        say(console, line)
    say(console, f"Results: {out}/ (throughput.json, table.md, summary.md, plots)")
    return 0


def _same_system(case: Case, result: VariantResult) -> bool:
    return (case.system, case.precision) == (result.system, result.precision)


def _measured_peaks(options: ThroughputOptions) -> dict[str, Peak]:
    peaks: dict[str, Peak] = {}
    for precision in options.precisions:
        with computing_in(precision):  # says at once where there is no such precision
            peaks[precision] = measure_peak(precision)
    return peaks


def _faster(before: Mapping[str, Peak], now: Mapping[str, Peak]) -> dict[str, Peak]:
    """Return the faster measurement of each peak: the machine's speed moves."""
    both = [*now.items(), *before.items()]
    return {
        precision: max((peak for name, peak in both if name == precision), key=lambda peak: peak.gflop_per_s)
        for precision in dict(both)
    }


def _json_options(options: ThroughputOptions, out: Path) -> dict[str, Any]:
    return {**dataclasses.asdict(options), "out": str(out)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
