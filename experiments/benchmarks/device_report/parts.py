"""The parts of the report: correctness, speed, profile, compile times; and the time that is left for them."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jax
from rich.console import Console

from experiments.benchmarks.case import Case, Form
from experiments.benchmarks.device_report.correctness import TOLERANCE, Agreement, check_systems
from experiments.benchmarks.device_report.options import TIMED_MODES, ReportOptions
from experiments.benchmarks.device_report.profiling import Operation, slowest_operations
from experiments.benchmarks.rounds import reason
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.ours import computing_in
from experiments.benchmarks.throughput.peak import Peak, measure_peak
from experiments.benchmarks.throughput.report import Timings
from experiments.benchmarks.throughput.run_case import compare_training_losses, free_memory, run_case
from experiments.cli.console import say
from experiments.cli.results import Report, made_with


@dataclass
class Progress:
    """What has been found so far; written after each step of the work."""

    options: ReportOptions
    settings: dict[str, Any]
    agreements: list[Agreement] = field(default_factory=list)
    peak: Peak | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    slowest: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What there was no time for."""

    @property
    def timings(self) -> Timings:
        """Return the throughput."""
        return Timings(self.results, {"float32": self.peak} if self.peak else {}, self.settings)

    def write(self) -> None:
        """Write everything again."""
        about, throughput = made_with(self.settings), self.timings.report()
        content = {
            **about,
            "accelerator": None if jax.default_backend() == "cpu" else about["environment"]["device"],
            "correctness": {
                "compared": f"{jax.default_backend()} in float32 with the CPU in float64",
                "tolerance": TOLERANCE,
                "rows": [agreement.row() for agreement in self.agreements],
            },
            "throughput": throughput.content,
            "slowest_operations": self.slowest,
            "left_out": self.left_out,
        }
        Report("device_report", content, throughput.tables if self.results else ()).write(self.options.out)


def check(progress: Progress, console: Console, workers: int, left: Callable[[], float]) -> None:
    """Compare every system with the CPU, as many at a time as there are cores."""
    options = progress.options
    cases = [options.case(system, "train") for system in options.expand(options.systems)]
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
    for system in options.expand(options.timed):
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
            for row in found:
                time_or_failure = f"{row['median_s'] * 1e3:.1f} ms" if row["median_s"] else row["status"]
                say(console, f"{case.title}: {row['variant']} {time_or_failure}")


def profile(progress: Progress, console: Console, workers: int, left: Callable[[], float]) -> None:
    """Name the slowest operations of each system's train step and inference, in each form."""
    options = progress.options
    for system in options.expand(options.systems):
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
            progress.slowest.append({**row, "operations": operations})
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


def show(progress: Progress, console: Console, seconds: float) -> None:
    """Print what was found, and what there was no time for."""
    console.print(progress.timings.terminal_table())
    wrong = [agreement for agreement in progress.agreements if not agreement.agrees]
    say(console, f"Correct within {TOLERANCE:g}: {len(progress.agreements) - len(wrong)} of {len(progress.agreements)}")
    for agreement in wrong:
        say(console, f"  differs: {agreement}")
    if progress.left_out:
        say(console, f"No time for: {'; '.join(progress.left_out)}")
    say(console, f"Report: {progress.options.out}/device_report.json ({seconds:.0f} s)")
