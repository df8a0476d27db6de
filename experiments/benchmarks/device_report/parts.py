"""The parts of `experiments.device_report` (correctness, speed, profile), and the time left for them."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
from rich.console import Console

from experiments.benchmarks.case import Case
from experiments.benchmarks.device_report.correctness import TOLERANCE, Agreement, check_systems
from experiments.benchmarks.device_report.options import MODES, ReportOptions
from experiments.benchmarks.device_report.profiling import Operation, slowest_operations
from experiments.benchmarks.options import Form
from experiments.benchmarks.rounds import reason
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.ours import computing_in
from experiments.benchmarks.throughput.peak import Peak, measure_peak
from experiments.benchmarks.throughput.report import Timings
from experiments.benchmarks.throughput.run_case import compare_training_losses, free_memory, run_case
from experiments.cli.console import say
from experiments.cli.results import Report, made_with
from experiments.cli.signals import keeps
from madsep_jax.host.environment import cpu_cores

Thing = TypeVar("Thing")


@dataclass
class Progress:
    """What has been found so far; written after each step of the work."""

    options: ReportOptions
    settings: dict[str, Any]
    console: Console
    start: float
    """Of the work, by the monotonic clock."""
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

    def say(self, line: str) -> None:
        """Print a line."""
        say(self.console, line)

    def has_time(self, share: float) -> bool:
        """Whether less than this share of the time has passed."""
        return time.monotonic() - self.start < share * self.options.budget_s

    def in_time(self, share: float, things: Iterable[Thing], what: Callable[[Thing], list[str]]) -> Iterator[Thing]:
        """Yield things while less than this share of the time has passed; name what is left out with the others."""
        for thing in things:
            if self.has_time(share):
                yield thing
            else:
                self.left_out += what(thing)

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
        keeps(f"what was found until then: {self.options.out}/")


def check(progress: Progress, until: float) -> None:
    """Compare every system with the CPU, as many at a time as there are cores."""
    options, workers = progress.options, cpu_cores()
    cases = [options.case(system, "train") for system in options.expand(options.systems)]
    groups = [cases[first : first + workers] for first in range(0, len(cases), workers)]
    for some in progress.in_time(until, groups, lambda some: [f"correctness of {case.system}" for case in some]):
        found = check_systems(some, options.forms)
        progress.agreements += found
        progress.write()
        for agreement in found:
            verdict = "agrees" if agreement.agrees else "DIFFERS"
            progress.say(f"{agreement.system}, {agreement.form}: {verdict} {agreement}")


def measure(progress: Progress, until: float) -> None:
    """Time all sizes of each system; its programs are compiled side by side first."""
    options, with_torch = progress.options, progress.settings["torch"] is not None
    progress.peak = measure_peak("float32", 0.5)
    for system in options.expand(options.timed):
        cases = options.timed_cases(system)
        programs = {}
        if progress.has_time(until):
            if with_torch:
                compare_training_losses(cases[0], options.forms)
            programs = compile_side_by_side([(case, form) for case in cases for form in options.forms], flops=True)
        for case in progress.in_time(until, cases, lambda case: [f"throughput of {case.title}"]):
            compiled = {form: programs[case, form] for form in options.forms}
            found = run_case(case, options.forms, options, with_torch, programs=compiled)
            progress.results += found
            progress.write()
            for row in found:
                time_or_failure = f"{row['median_s'] * 1e3:.1f} ms" if row["median_s"] else row["status"]
                progress.say(f"{case.title}: {row['variant']} {time_or_failure}")


def profile(progress: Progress, until: float) -> None:
    """Name the slowest operations of each system's train step and inference, in each form."""
    options = progress.options
    for system in progress.in_time(until, options.expand(options.systems), lambda system: [f"profile of {system}"]):
        pairs = [(options.case(system, mode), form) for mode in reversed(MODES) for form in options.forms]
        programs = compile_side_by_side(pairs)
        for case, form in pairs:
            operations: list[Operation] = []
            failure: dict[str, str] = {}
            try:
                operations = profile_one(case, form, programs[case, form])
            except (RuntimeError, MemoryError) as error:
                failure["failure"] = reason(error)
            row = {"system": system, "mode": case.mode, "form": form}
            progress.slowest.append({**row, "operations": operations, **failure})
            free_memory(with_torch=False)
            for first in operations[:1]:
                progress.say(f"{case.title}, {form}: {first.share:.0%} {first.name} {first.kind} {first.source}")
        progress.write()


def profile_one(case: Case, form: Form, program: ours.Program | Exception) -> list[Operation]:
    """Return the slowest operations of a compiled program. Raises the error that it did not compile for."""
    with computing_in(case.precision):
        prepared = ours.prepare(case, form, program)
        return slowest_operations(prepared.run, prepared.program_text())


def compile_side_by_side(
    pairs: Sequence[tuple[Case, Form]], flops: bool = False
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

    with ThreadPoolExecutor(cpu_cores()) as pool:
        return dict(zip(pairs, pool.map(compile_one, pairs), strict=True))


def show(progress: Progress) -> None:
    """Print what was found, and what there was no time for."""
    progress.console.print(progress.timings.terminal_table())
    number, wrong = len(progress.agreements), [one for one in progress.agreements if not one.agrees]
    progress.say(f"Correct within {TOLERANCE:g}: {number - len(wrong)} of {number}")
    for agreement in wrong:
        progress.say(f"  differs: {agreement}")
    if progress.left_out:
        progress.say(f"No time for: {'; '.join(progress.left_out)}")
    passed = time.monotonic() - progress.start
    progress.say(f"Report: {progress.options.out}/device_report.json ({passed:.0f} s)")
