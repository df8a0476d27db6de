"""What the measurement of scaling writes for its reader."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from experiments.benchmarks.scaling.cases import Case, Style
from experiments.cli.tables import markdown_table, save_figure
from madsep_jax.host.environment import describe_machine
from madsep_jax.host.files import write_json, write_text

_CAPTION = (
    "Step: time of a train step, median of the rounds (each the median of its steps) and their range; the cases take "
    "turns, each in new processes. Speed-up: in sequences a second, over one device of one process. Efficiency: "
    "speed-up over devices. Compile: with the first step. Loss: of the first step."
)

_ON_CPU = (
    "The devices are parts of one processor, which one device uses as a whole: more of them can add no speed, and what "
    "a speed-up lacks of 1 is what sharing costs."
)


@dataclass
class Measured:
    """The rounds of a case in one style."""

    case: Case
    style: Style
    round_s: list[float] = field(default_factory=list)
    """Of each round the median time of a step."""
    compile_s: list[float] = field(default_factory=list)
    loss: float | None = None
    """The same in all cases with the same batch; of later steps, rounding would be magnified."""

    @property
    def median_step_s(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.round_s)

    @property
    def sequences_per_s(self) -> float:
        """How many are trained on."""
        return self.case.batch / self.median_step_s


@dataclass
class ScalingReport:
    """All that has been measured."""

    measured: list[Measured]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Of the processes that measured first."""

    @classmethod
    def of(cls, cases: Sequence[Case], settings: Mapping[str, Any]) -> "ScalingReport":
        """Return one in which nothing has been measured yet."""
        return cls([Measured(case, style) for style in cases[0].styles for case in cases], settings)

    def add(self, case: Case, found: Mapping[str, Any]) -> None:
        """Add a round of a case, as `experiments.benchmarks.scaling.measure` returns it."""
        self.environment = self.environment or found["environment"]
        for one in self.measured:
            if one.case == case:
                of_style = found["styles"][one.style]
                one.round_s.append(statistics.median(of_style["step_s"]))
                one.compile_s.append(of_style["compile_s"])
                one.loss = of_style["loss"]

    def speed_up(self, one: Measured) -> float | None:
        """Return the sequences a second over those of one device; None where one device was not measured alone."""
        for other in self.measured:
            if (other.case.devices, other.case.processes, other.style) == (1, 1, one.style):
                return one.sequences_per_s / other.sequences_per_s
        return None

    def efficiency(self, one: Measured) -> float | None:
        """Return how much of one device's speed each device keeps."""
        speed_up = self.speed_up(one)
        return None if speed_up is None else speed_up / one.case.devices

    def markdown(self) -> str:
        """Return the table in markdown, its caption below."""
        rows = [self._cells(one) for one in self.measured]
        table = markdown_table(list(rows[0]), [list(row.values()) for row in rows], ("system", "style"))
        on_cpu = f" {_ON_CPU}" if self.settings["on"] == "cpu" else ""
        return f"{table}\n\n{describe_machine(self.environment)}. {_CAPTION}{on_cpu}\n"

    def _cells(self, one: Measured) -> dict[str, str]:
        speed_up, efficiency = self.speed_up(one), self.efficiency(one)
        return {
            "system": one.case.system,
            "style": one.style,
            "processes": str(one.case.processes),
            "devices": str(one.case.devices),
            "batch": str(one.case.batch),
            "step (ms)": f"{1e3 * one.median_step_s:.1f}",
            "range (ms)": f"{1e3 * min(one.round_s):.1f} to {1e3 * max(one.round_s):.1f}",
            "speed-up": "–" if speed_up is None else f"{speed_up:.2f}",
            "efficiency": "–" if efficiency is None else f"{efficiency:.2f}",
            "compile (s)": f"{statistics.median(one.compile_s):.1f}",
            "loss": f"{one.loss:.6g}",
        }

    def write(self, folder: Path) -> None:
        """Write scaling.json, table.md and the plot."""
        rows = [
            {
                **asdict(one),
                "median_step_s": one.median_step_s,
                "speed_up": self.speed_up(one),
                "efficiency": self.efficiency(one),
            }
            for one in self.measured
        ]
        content = {"environment": dict(self.environment), "settings": dict(self.settings), "cases": rows}
        write_json(folder / "scaling.json", content)
        write_text(folder / "table.md", self.markdown())
        self._plot(folder / "scaling.png")

    def _plot(self, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        times, shares = figure.subplots(1, 2)
        lines: dict[str, list[Measured]] = {}
        for one in self.measured:
            lines.setdefault(f"{one.style}, processes: {one.case.processes}", []).append(one)
        for name, of_line in lines.items():
            devices = [one.case.devices for one in of_line]
            times.plot(devices, [1e3 * one.median_step_s for one in of_line], "o-", label=name)
            known = [(one.case.devices, share) for one in of_line if (share := self.efficiency(one)) is not None]
            shares.plot([count for count, _ in known], [share for _, share in known], "o-", label=name)
        if self.settings["on"] == "cpu":
            counts = sorted({one.case.devices for one in self.measured})
            shares.plot(counts, [1 / count for count in counts], ":", color="grey", label="sharing that costs nothing")
        for axes, label in ((times, "step (ms)"), (shares, "efficiency")):
            axes.set_xlabel("devices")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=8)
        save_figure(figure, path)
