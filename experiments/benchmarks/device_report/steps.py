"""What a report does, in which order: the most important first, so that one that is cut short is worth reading."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from experiments.benchmarks.case import Case, Mode, Precision
from experiments.benchmarks.device_report.options import ReportOptions

#: Systems of `--timed` that come first, and those that are timed at all sizes.
_LEAD, _ALL_SIZES = 2, 3


@dataclass(frozen=True)
class Step:
    """One piece of the work: time a case in all variants, check some systems, or profile a case in all our forms."""

    kind: Literal["time", "check", "profile"]
    cases: tuple[Case, ...]


def steps_of(options: ReportOptions) -> list[Step]:
    """Return all steps of a report; each case is timed and profiled once, each system checked once."""
    timed, checked = options.expand(options.timed), options.expand(options.systems)
    lead, wide = timed[:_LEAD], timed[:_ALL_SIZES]
    batch, frames = options.batches[0], options.lengths[0]
    important = options.batches[len(options.batches) // 2]
    other_batches = [one for one in options.batches[1:] if one != important]
    first, *precisions = options.precisions

    def cases(systems: Iterable[str], mode: Mode, batch: int, frames: int, precision: Precision = first) -> list[Case]:
        return [Case.of(one, mode, batch, frames, options.preset, precision=precision) for one in systems]

    headline = cases(lead, "train", batch, frames)
    others = cases(wide, "train", batch, frames)
    others += cases(wide, "train", important, frames)
    others += [case for precision in precisions for case in cases(wide, "train", batch, frames, precision)]
    others += [case for length in options.lengths[1:] for case in cases(wide, "train", batch, length)]
    others += cases(wide, "forward", batch, frames)
    others += [case for one in other_batches for case in cases(wide, "train", one, frames)]
    last = [case for mode in ("train", "forward") for case in cases(timed, mode, batch, frames)]
    last += [case for one in options.batches[1:] for case in cases(wide, "forward", one, frames)]
    last += [case for length in options.lengths[1:] for case in cases(wide, "forward", batch, length)]
    every = list(dict.fromkeys(headline + others + last))
    first_checked = [one for one in checked if one in lead]

    def check(systems: Iterable[str]) -> list[Step]:
        found = cases(systems, "train", batch, frames, "float32")
        return [Step("check", tuple(found))] if found else []

    def each(kind: Literal["time", "profile"], some: Iterable[Case]) -> list[Step]:
        return [Step(kind, (case,)) for case in some]

    return [
        *each("time", headline),
        *check(first_checked),
        *each("profile", headline),
        *each("time", [case for case in every if case in set(others) - set(headline)]),
        *check([one for one in checked if one not in first_checked]),
        *each("time", [case for case in every if case not in set(others) | set(headline)]),
        *each("profile", [case for case in every if case not in headline]),
    ]
