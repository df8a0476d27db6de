"""What a report has found so far: a row for everything that it is to find, from the start."""

import importlib.util
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from rich.console import Console

from experiments.benchmarks.case import Case, Form
from experiments.benchmarks.device_report.budget import Budget
from experiments.benchmarks.device_report.compiling import Compiler, Programs
from experiments.benchmarks.device_report.correctness import TOLERANCE, Agreement
from experiments.benchmarks.device_report.options import ReportOptions
from experiments.benchmarks.device_report.prediction import Prediction
from experiments.benchmarks.device_report.steps import Step
from experiments.benchmarks.device_report.tables import agreement_table, row_table
from experiments.benchmarks.throughput.peak import Peak
from experiments.benchmarks.throughput.plots import pictures
from experiments.benchmarks.throughput.run_case import CASE, MEASURED, PEERS
from experiments.cli.console import say
from experiments.cli.results import Report, made_with
from experiments.cli.signals import keeps
from madsep_jax.errors import shown

NOT_REACHED = "not reached"


@dataclass
class Progress:
    """What has been found so far; written after each step of the work."""

    options: ReportOptions
    settings: Mapping[str, Any]
    console: Console
    budget: Budget
    steps: Sequence[Step]
    no_torch: str | None = None
    """Why PyTorch is not timed."""
    compiler: Compiler = field(default_factory=Compiler)
    programs: Programs = field(default_factory=dict)
    peaks: dict[str, Peak] = field(default_factory=dict)
    doing: str = ""
    """What is being done, in words."""
    rows: dict[tuple[Case, str], dict[str, Any]] = field(init=False)
    agreements: dict[tuple[str, str], Agreement] = field(init=False)
    cut: str | None = None
    """What was being done when the time was over."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        peers = PEERS.get(self.options.peer, ())
        variants = [f"jax {form}" for form in self.options.forms] + list(peers)
        self.rows = {
            (case, variant): {
                **{name: getattr(case, name) for name in CASE},
                "variant": variant,
                "status": self.no_torch if variant in peers and self.no_torch else NOT_REACHED,
                "median_s": None,
                "planned": None,
                "slowest": [],
            }
            for case in self.cases("time")
            for variant in variants
        }
        self.agreements = {
            (case.system, form): Agreement(system=case.system, form=form, failure=NOT_REACHED)
            for case in self.cases("check")
            for form in self.options.forms
        }

    def cases(self, kind: str) -> list[Case]:
        """Return the cases of all steps of a kind."""
        return [case for step in self.steps if step.kind == kind for case in step.cases]

    def note(self, case: Case, variant: str, /, **values: Any) -> None:
        """Note what was found of a variant."""
        with self._lock:
            self.rows[case, variant] |= values

    def note_all(self, case: Case, variants: Iterable[str], status: str) -> None:
        """Note one status of several variants."""
        for variant in variants:
            self.note(case, variant, status=status)

    def note_agreements(self, found: Iterable[Agreement]) -> None:
        """Note which systems are right."""
        with self._lock:
            self.agreements |= {(one.system, one.form): one for one in found}

    def doing_of(self, case: Case) -> Callable[[str], None]:
        """Return a function that notes what is being done of a case."""

        def note(stage: str) -> None:
            self.doing = f"{case.title}: {stage}"

        return note

    def peers(self, case: Case) -> Sequence[str]:
        """Return PyTorch's variants that are timed with a case; none in what a CPU does not have."""
        peers = PEERS.get(self.options.peer, ())
        if self.no_torch:
            return ()
        if case.precision == "tf32" and jax.default_backend() == "cpu":
            self.note_all(case, peers, "not timed: a CPU has no tf32")
            return ()
        return peers

    def open_forms(self, case: Case) -> list[Form]:
        """Return our forms of a case whose rows say nothing yet."""
        return [form for form in self.options.forms if self.rows[case, f"jax {form}"]["status"] == NOT_REACHED]

    def known_memory(self, case: Case, form: Form) -> tuple[Mapping[str, int], Case] | None:
        """Return the planned memory of a program at the largest smaller size that was compiled, and that case."""
        found: list[tuple[Mapping[str, int], Case]] = []
        for (other, variant), row in self.rows.items():
            planned: Prediction | None = row["planned"]
            alike = all(getattr(other, name) == getattr(case, name) for name in ("system", "mode", "precision"))
            if planned and alike and variant == f"jax {form}" and other.batch * other.frames < case.batch * case.frames:
                found.append((planned.memory, other))
        return max(found, key=lambda one: one[1].batch * one[1].frames, default=None)

    def say(self, line: str) -> None:
        """Print a line."""
        say(self.console, line)

    def write(self, with_plots: bool = False) -> None:
        """Write everything again."""
        with self._lock:
            rows, agreements = list(self.rows.values()), [one.row() for one in self.agreements.values()]
            about = made_with(self.settings)
            content = {
                **about,
                "accelerator": None if jax.default_backend() == "cpu" else about["environment"]["device"],
                "rehearsal": self.options.rehearse,
                "seconds": self.budget.passed(),
                "cut": self.cut,
                "peaks": self.peaks,
                "rows": rows,
                "correctness": {
                    "compared": f"{jax.default_backend()} in float32 with the CPU in float64",
                    "tolerance": TOLERANCE,
                    "rows": agreements,
                },
            }
            tables = [row_table(rows, self.options.rehearse), agreement_table(agreements, TOLERANCE)]
            plots = pictures([row for row in rows if row["status"] == MEASURED]) if with_plots else {}
            Report("device_report", content, tables, pictures=plots).write(self.options.out)
        keeps(f"what was found until then: {self.options.out}/")

    def finish(self) -> None:
        """Write and print what was found; where nothing was cut off, plots as well."""
        has_plots = importlib.util.find_spec("matplotlib") is not None
        self.write(with_plots=has_plots and self.cut is None)
        rows, agreements = list(self.rows.values()), list(self.agreements.values())
        table = row_table(rows, self.options.rehearse)
        failed = [number for number, row in enumerate(rows) if row["status"] != MEASURED]
        self.console.print(table.terminal(self.options.out / "table.md", failed))
        if not has_plots:
            self.say("No plots: matplotlib is not installed; python -m pip install matplotlib")
        wrong = [one for one in agreements if not one.agrees]
        self.say(f"Correct within {TOLERANCE:g}: {len(agreements) - len(wrong)} of {len(agreements)}")
        for one in wrong:
            self.say(f"  {one.system}, {one.form}: {one.verdict}")
        measured = sum(row["status"] == MEASURED for row in rows)
        self.say(f"Measured: {measured} of {len(rows)} rows; the others say why not")
        if self.cut:
            self.say(f"Cut at the end of --budget-s while {self.cut}")
        files = f"{shown(self.options.out)}/ (device_report.json, table.md)"
        self.say(f"Report: {files}, {self.budget.passed():.0f} s")
