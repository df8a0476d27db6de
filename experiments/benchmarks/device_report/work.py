"""The steps of a report, one after the other, in the time that there is."""

import os
import sys
import time

import jax

from experiments.benchmarks.case import Case
from experiments.benchmarks.device_report.correctness import check_systems
from experiments.benchmarks.device_report.profiling import slowest_operations
from experiments.benchmarks.device_report.progress import NOT_REACHED, Progress
from experiments.benchmarks.device_report.steps import Step
from experiments.benchmarks.device_report.timing import time_case
from experiments.benchmarks.rounds import reason
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.ours import timed_in
from experiments.benchmarks.throughput.run_case import MEASURED, free_memory
from madsep_jax.host.environment import cpu_cores

#: Beside the steps that are profiled: to read what was recorded.
_PROFILE_S = 2.0


def work(progress: Progress) -> None:
    """Do all steps that there is time for; what was found is written after each."""
    has_reference = _has_reference(progress)
    for number, step in enumerate(progress.steps):
        before = progress.budget.passed()
        if step.kind == "time":
            later = [one.cases[0] for one in _run_of("time", progress, number + 1)]
            time_case(progress, step.cases[0], later)
            _say_times(progress, step.cases[0])
        elif step.kind == "profile":
            profile(progress, step.cases[0])
        elif has_reference:
            check(progress, step.cases)
        if progress.budget.passed() - before > 0.05:  # a step that was skipped has nothing to write
            progress.write()


def cut(progress: Progress) -> None:
    """Write what there is and end the process, whatever it is at: XLA's compiler cannot be interrupted."""
    progress.cut = progress.doing
    progress.finish()
    leave()


def leave() -> None:
    """End the process as one that has done what it was asked for, without waiting for its threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run_of(kind: str, progress: Progress, start: int) -> list[Step]:
    """Return the steps of one kind that follow each other from a number on."""
    found = []
    for step in progress.steps[start:]:
        if step.kind != kind:
            break
        found.append(step)
    return found


def _say_times(progress: Progress, case: Case) -> None:
    for (other, variant), row in progress.rows.items():
        if other == case:
            time_or_status = f"{row['median_s'] * 1e3:.2f} ms" if row["median_s"] else row["status"]
            planned = f", planned {row['planned'].seconds * 1e3:.2f} ms" if row["planned"] else ""
            progress.say(f"{case.title}: {variant} {time_or_status}{planned}")


def _has_reference(progress: Progress) -> bool:
    """Whether the CPU can be had beside the accelerator."""
    try:
        jax.local_devices(backend="cpu")
    except RuntimeError:
        asked = os.environ.get("JAX_PLATFORMS", "")
        why = f"JAX_PLATFORMS={asked} hides the CPU, whose float64 is the reference; add ',cpu'"
        progress.say(f"Nothing is checked: {why}")
        found = progress.agreements.values()
        progress.note_agreements([type(one)(system=one.system, form=one.form, failure=why) for one in list(found)])
        return False
    return True


def check(progress: Progress, cases: tuple[Case, ...]) -> None:
    """Compare systems with the CPU, as many at a time as there are cores."""
    workers, slowest_s = cpu_cores(), 0.0
    for first in range(0, len(cases), workers):
        some = cases[first : first + workers]
        if not progress.budget.fits(slowest_s):
            return
        progress.doing = f"checking {', '.join(case.system for case in some)}"
        start = time.monotonic()
        found = check_systems(some, progress.options.forms)
        slowest_s = max(slowest_s, time.monotonic() - start)
        progress.note_agreements(found)
        progress.write()
        for one in found:
            progress.say(f"{one.system}, {one.form}: {one.verdict}")


def profile(progress: Progress, case: Case) -> None:
    """Name the slowest operations of a case in each of our forms that was timed."""
    for form in progress.options.forms:
        row = progress.rows[case, f"jax {form}"]
        if row["status"] != MEASURED or not progress.budget.fits(_PROFILE_S + 5 * row["median_s"]):
            continue
        progress.doing = f"profiling {case.title}, {form}"
        program = progress.programs[case, form]
        try:
            with timed_in(case.precision):
                prepared = ours.prepare(case, form, program)
                progress.note(case, f"jax {form}", slowest=slowest_operations(prepared.run, prepared.program_text()))
        except (RuntimeError, MemoryError) as error:
            progress.note(case, f"jax {form}", profile_failure=reason(error))
        free_memory(with_torch=False)


def close(progress: Progress) -> None:
    """Say of what was not reached that there was no time for it."""
    for (case, variant), row in progress.rows.items():
        if row["status"] == NOT_REACHED:
            progress.note(case, variant, status="no time")
