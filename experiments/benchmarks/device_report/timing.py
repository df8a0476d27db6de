"""One case in all variants: compiled, counted, compared and timed, where it fits into memory and time."""

from collections.abc import Sequence
from dataclasses import replace

import jax

from experiments.benchmarks.case import Case, Form
from experiments.benchmarks.device_report.prediction import (
    Prediction,
    memory_limit,
    predict,
    scaled_memory,
    this_device,
)
from experiments.benchmarks.device_report.progress import Progress
from experiments.benchmarks.equality import UnequalOutputsError
from experiments.benchmarks.rounds import CompiledWhileTimedError, reason
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.peak import measure_peak
from experiments.benchmarks.throughput.run_case import free_memory, run_case
from madsep_jax.host.environment import cpu_cores

#: A form that is planned to take so many times as long as the best is not timed.
HOPELESS = 20.0

#: Memory that a program is expected to need without being compiled, as a share of what there is: then it is not.
_SURELY_TOO_MUCH = 1.25

#: Of the whole budget, that some programs may take to compile before they are given up.
_PATIENCE = 0.3

#: For each matrix product and for the copy.
_PEAK_S = 0.5


def time_case(progress: Progress, case: Case, later: Sequence[Case] = ()) -> None:
    """Time a case, and note a row for each variant, whatever comes of it.

    Where its programs are not compiled yet, those of the cases that come later are compiled with them, as many as there
    are cores.
    """
    forms = [form for form in progress.options.forms if _may_compile(progress, case, form)]
    _compile(progress, case, later)
    predictions = {form: found for form in forms if (found := _prediction(progress, case, form))}
    good = [form for form in predictions if _may_run(progress, case, form, predictions)]
    peers = progress.peers(case)
    if not good and not peers:
        return
    left = progress.budget.left()
    variants = len(good) + len(peers)
    options = progress.options
    seconds = min(options.seconds, left / (4 * variants))
    if left <= 0:
        names = [f"jax {form}" for form in good] + list(peers)
        progress.note_all(case, names, "no time")
        return
    try:
        programs = {form: progress.programs[case, form] for form in good}
        rows = run_case(case, good, replace(options, seconds=seconds), peers, progress.doing_of(case), programs)
    except (UnequalOutputsError, CompiledWhileTimedError) as error:
        names = [f"jax {form}" for form in good] + list(peers)
        progress.note_all(case, names, f"failed: {reason(error)}")
        free_memory(bool(peers))
        return
    for row in rows:
        progress.note(case, row["variant"], **row)


def _may_compile(progress: Progress, case: Case, form: Form) -> bool:
    """Whether a form is to be compiled; where not, its row says why."""
    why = None
    limit, known = memory_limit(), progress.known_memory(case, form)
    expected_s = progress.compiler.expected_s(case, form)
    if case.precision == "tf32" and jax.default_backend() == "cpu":
        why = "not timed: a CPU has no tf32"
    elif known and limit and (needed := scaled_memory(*known, case)) > _SURELY_TOO_MUCH * limit:
        why = f"does not fit: about {_gib(needed)} by its plan at batch {known[1].batch}, {_gib(limit)} are there"
    elif (case, form) not in progress.programs and not progress.budget.fits(1.2 * expected_s):
        why = f"no time: {max(progress.budget.left(), 0):.0f} s left, about {expected_s:.0f} s to compile"
    if why:
        progress.note(case, f"jax {form}", status=why)
    return why is None


def _compile(progress: Progress, case: Case, later: Sequence[Case]) -> None:
    """Compile what is missing of a case and, with it, of those that come later; count the operations of each."""
    open_forms = progress.open_forms(case)
    if (
        open_forms
        and case.precision not in progress.peaks
        and not (jax.default_backend() == "cpu" and case.precision != "float32")
    ):
        progress.doing = f"measuring the peak in {case.precision}"
        with ours.timed_in(case.precision):
            progress.peaks[case.precision] = measure_peak(case.precision, min(_PEAK_S, progress.budget.seconds / 100))
    todo = [(case, form) for form in open_forms if (case, form) not in progress.programs]
    if not todo:
        return
    for other in later:
        pairs = [(other, form) for form in progress.options.forms if _may_compile(progress, other, form)]
        pairs = [pair for pair in pairs if pair not in progress.programs]
        if len(todo) + len(pairs) > cpu_cores():
            break
        todo += pairs
    progress.doing = f"compiling {case.title}"
    patience_s = min(progress.budget.left(), _PATIENCE * progress.budget.seconds)
    progress.programs |= progress.compiler.compile(todo, patience_s)


def _prediction(progress: Progress, case: Case, form: Form) -> Prediction | None:
    """Count a form's program, and note what that says; None where there is no program, and its row says why."""
    program = progress.programs.get((case, form))
    if not isinstance(program, ours.Program):
        kind = "no time" if isinstance(program, TimeoutError) else "failed"
        progress.note(case, f"jax {form}", status=f"{kind}: {reason(program) if program else 'not compiled'}")
        return None
    found = predict(case, program, this_device(progress.peaks))
    progress.note(case, f"jax {form}", planned=found)
    return found


def _may_run(progress: Progress, case: Case, form: Form, predictions: dict[Form, Prediction]) -> bool:
    """Whether a form is to be run; where not, its row says why."""
    best = min(predictions, key=lambda form: predictions[form].seconds)
    planned, least = predictions[form].seconds, predictions[best].seconds
    needed, limit = predictions[form].memory.get("peak", 0), memory_limit()
    why = None
    if limit and needed > limit:
        why = f"does not fit: {_gib(needed)} planned, {_gib(limit)} are there"
    elif planned > HOPELESS * least:
        why = f"not timed: planned {planned * 1e3:.3g} ms, {planned / least:.0f} times as long as jax {best}"
    elif not progress.budget.fits(planned * (2 * progress.options.turns + 1)):
        why = f"no time: planned {planned:.3g} s a step, {max(progress.budget.left(), 0):.0f} s left"
    if why:
        progress.note(case, f"jax {form}", status=why)
    return why is None


def _gib(count: float) -> str:
    return f"{count / 2**30:.3g} GiB"
