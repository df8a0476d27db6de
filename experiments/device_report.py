"""Everything about one accelerator in one command: whether it is right, how fast it is, and what takes the time.

`python -m experiments.device_report` needs an accelerator, PyTorch for the comparison, and ten minutes; without an
accelerator it reports on the CPU. It needs none of the packages for songs and scores.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
from cyclopts import App
from rich.console import Console

from experiments.command import run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.progress import make_console, say
from experiments.systems import expand
from experiments.timing import ours
from experiments.timing.cases import Case, Form
from experiments.timing.correctness import TOLERANCE, Agreement, check_systems
from experiments.timing.device_options import TIMED_MODES, ReportOptions
from experiments.timing.peak import Peak, measure_peak
from experiments.timing.peer import share_memory, torch_settings
from experiments.timing.precision import computing_in
from experiments.timing.profiling import Operation, slowest_operations
from experiments.timing.report import Report
from experiments.timing.result import VariantResult
from experiments.timing.rounds import reason
from experiments.timing.run_case import compare_training_losses, free_memory, run_case
from madsep_jax.environment import cpu_cores, environment
from madsep_jax.files import write_json, write_text

#: Shares of the time after which each part is to be done.
_CORRECTNESS_UNTIL, _THROUGHPUT_UNTIL = 0.25, 0.85


@dataclass
class Progress:
    """What has been found so far; written after each step of the work."""

    options: ReportOptions
    settings: dict[str, Any]
    agreements: list[Agreement] = dataclasses.field(default_factory=list)
    peak: Peak | None = None
    results: list[VariantResult] = dataclasses.field(default_factory=list)
    slowest: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)
    """What there was no time for."""

    @property
    def report(self) -> Report:
        """Return the throughput."""
        return Report(self.results, {"float32": self.peak} if self.peak else {}, self.settings)

    def write(self) -> None:
        """Write everything again."""
        on_cpu = jax.default_backend() == "cpu"
        content = {
            "environment": environment(),
            "settings": self.settings,
            "accelerator": None if on_cpu else environment()["device"],
            "correctness": {
                "compared": f"{jax.default_backend()} in float32 with the CPU in float64",
                "tolerance": TOLERANCE,
                "rows": [agreement.row() for agreement in self.agreements],
            },
            "throughput": self.report.content(),
            "slowest_operations": self.slowest,
            "left_out": self.left_out,
        }
        write_json(self.options.out / "device_report.json", content)
        if self.results:
            write_text(self.options.out / "table.md", self.report.markdown())


_DEFAULTS = ReportOptions()
app = App(name="device_report", usage="Usage: python -m experiments.device_report [OPTIONS]", version_flags=[])


@app.default
def device_report(options: ReportOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Check, time and profile the separators on this machine's accelerator, in a given time.

    Correctness: every system, on the accelerator in float32 against the CPU in float64. Throughput: plain and fast
    forms beside PyTorch. Profile: the operations that take most time.
    """
    start = time.monotonic()
    console = make_console()
    with_torch = options.peer == "torch"
    if with_torch:
        share_memory()
    settings = {
        "options": {**dataclasses.asdict(options), "out": str(options.out)},
        "torch": torch_settings() if with_torch else None,
    }
    show_device(console, device)
    if jax.default_backend() == "cpu":
        say(console, "No accelerator: this is a report on the CPU itself.")
    progress = Progress(options, settings)
    workers = cpu_cores()

    def left(share: float) -> float:
        return start + share * options.budget_s - time.monotonic()

    check(progress, console, workers, lambda: left(_CORRECTNESS_UNTIL))
    measure(progress, console, workers, with_torch, lambda: left(_THROUGHPUT_UNTIL))
    profile(progress, console, workers, lambda: left(1.0))
    progress.report.write(options.out)
    progress.write()
    _show(progress, console, time.monotonic() - start)


def check(progress: Progress, console: Console, workers: int, left: Callable[[], float]) -> None:
    """Compare every system with the CPU, as many at a time as there are cores."""
    options = progress.options
    cases = [options.case(system, "train") for system in expand(options.systems, (), (), options.preset)]
    while cases:
        if left() <= 0:
            progress.left_out += [f"correctness of {case.system}" for case in cases]
            return
        some, cases = cases[:workers], cases[workers:]
        found = check_systems(some, options.forms, workers)
        progress.agreements += found
        progress.write()
        for agreement in found:
            say(
                console,
                f"{agreement.system}, {agreement.form}: {'agrees' if agreement.agrees else 'DIFFERS'} {agreement}",
            )


def measure(progress: Progress, console: Console, workers: int, with_torch: bool, left: Callable[[], float]) -> None:
    """Time all sizes of each system; its programs are compiled side by side first."""
    options = progress.options
    progress.peak = measure_peak("float32", 0.5)
    for system in expand(options.timed, (), (), options.preset):
        cases = options.timed_cases(system)
        if left() <= 0:
            progress.left_out += [f"throughput of {case.title}" for case in cases]
            continue
        if with_torch:
            compare_training_losses(cases[0], options.forms)
        programs = compile_side_by_side([(case, form) for case in cases for form in options.forms], workers, flops=True)
        for number, case in enumerate(cases):
            if left() <= 0:
                progress.left_out += [f"throughput of {case.title}" for case in cases[number:]]
                break
            compiled = {form: programs[case, form] for form in options.forms}
            found = run_case(
                case, options.forms, options.steps, options.seconds, options.turns, with_torch, programs=compiled
            )
            progress.results += found
            progress.write()
            for result in found:
                time_or_failure = f"{result.median_s * 1e3:.1f} ms" if result.median_s else result.status
                say(console, f"{case.title}: {result.variant} {time_or_failure}")


def profile(progress: Progress, console: Console, workers: int, left: Callable[[], float]) -> None:
    """Name the slowest operations of each system's train step and inference, in each form."""
    options = progress.options
    for system in expand(options.systems, (), (), options.preset):
        pairs = [(options.case(system, mode), form) for mode in reversed(TIMED_MODES) for form in options.forms]
        if left() <= 0:
            progress.left_out.append(f"profile of {system}")
            continue
        programs = compile_side_by_side(pairs, workers)
        for case, form in pairs:
            row: dict[str, Any] = {"system": system, "mode": case.mode, "form": form}
            try:
                operations = profile_one(case, form, programs[case, form])
            except (RuntimeError, MemoryError) as error:
                progress.slowest.append({**row, "operations": [], "failure": reason(error)})
                continue
            finally:
                free_memory(with_torch=False)
            progress.slowest.append({**row, "operations": [dataclasses.asdict(one) for one in operations]})
            for first in operations[:1]:
                say(console, f"{case.title}, {form}: {first.share:.0%} {first.name} {first.kind} {first.source}")
        progress.write()


def profile_one(case: Case, form: Form, program: ours.Program | Exception) -> list[Operation]:
    """Return the slowest operations of a compiled program. Raises the error that it did not compile for."""
    with computing_in(case.precision):
        prepared = ours.prepare(case, form, program)
        return slowest_operations(prepared.run, prepared.program_text())


def compile_side_by_side(
    pairs: Sequence[tuple[Case, Form]], workers: int, flops: bool = False
) -> dict[tuple[Case, Form], ours.Program | Exception]:
    """Compile several programs at a time; those that do not compile give their error. Count operations meanwhile."""

    def compile_one(pair: tuple[Case, Form]) -> ours.Program | Exception:
        case, form = pair
        try:
            with computing_in(case.precision):
                if flops and form == pairs[0][1]:
                    _ = case.flops  # kept by the case
                program = ours.compile_program(case, form)
                return dataclasses.replace(program, compile_s=None)  # not the time of one alone
        except (RuntimeError, MemoryError) as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(pairs, pool.map(compile_one, pairs), strict=True))


def _show(progress: Progress, console: Console, seconds: float) -> None:
    console.print(progress.report.terminal_table())
    wrong = [agreement for agreement in progress.agreements if not agreement.agrees]
    say(console, f"Correct within {TOLERANCE:g}: {len(progress.agreements) - len(wrong)} of {len(progress.agreements)}")
    for agreement in wrong:
        say(console, f"  differs: {agreement}")
    if progress.left_out:
        say(console, f"No time for: {'; '.join(progress.left_out)}")
    say(console, f"Report: {progress.options.out}/device_report.json ({seconds:.0f} s)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
