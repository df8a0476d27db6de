"""What the measurement of the input writes for its reader."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.input_throughput.measure import PipelineResult, TrainingResult
from experiments.cli.tables import markdown_table, save_figure
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import write_json, write_text

_PIPELINE_CAPTION = (
    "The pipeline alone, its batches not used: median of five runs and distance of the quartiles, from memory (an "
    "epoch was read before). MB: arrays as they are handed over. CPU: processor time over that of all cores."
)

_TRAINING_CAPTION = (
    "Training steps one by one, each waited for, its batch taken from the pipeline when it begins: median of a step, "
    "and share of the whole time that was spent waiting for batches."
)


@dataclass(frozen=True)
class FeedingReport:
    """All that has been measured so far."""

    pipelines: Sequence[PipelineResult]
    trainings: Sequence[TrainingResult]
    settings: Mapping[str, Any]

    def markdown(self) -> str:
        """Return both tables in markdown, with their captions."""
        pipelines = [
            {
                "features": result.name,
                "batch": result.batch,
                "sequences/s": f"{result.sequences_per_s:,.0f}",
                "IQR": f"{result.third_quartile - result.first_quartile:,.0f}",
                "MB/s": f"{result.mb_per_s:,.0f}",
                "CPU (%)": f"{100 * result.cpu_share:.0f}",
            }
            for result in self.pipelines
        ]
        trainings = [
            {
                "features": result.name,
                "system": result.system,
                "batch": result.batch,
                "step (ms)": f"{1e3 * result.median_step_s:.1f}",
                "waiting (%)": f"{100 * result.wait_share:.2f}",
            }
            for result in self.trainings
        ]
        parts = [_table(pipelines), f"{describe_machine()}. {_PIPELINE_CAPTION}"]
        if trainings:
            parts += [_table(trainings), _TRAINING_CAPTION]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write input_throughput.json, table.md and the plot."""
        content = {
            "environment": environment(),
            "settings": dict(self.settings),
            "pipelines": [{**dataclasses.asdict(r), "mb_per_s": r.mb_per_s} for r in self.pipelines],
            "trainings": [
                {**dataclasses.asdict(r), "median_step_s": r.median_step_s, "wait_share": r.wait_share}
                for r in self.trainings
            ],
        }
        write_json(folder / "input_throughput.json", content)
        write_text(folder / "table.md", self.markdown())
        self._plot(folder / "input_throughput.png")

    def _plot(self, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        names = [result.name for result in self.pipelines]
        for axes, values, title in (
            (left, [result.sequences_per_s for result in self.pipelines], "sequences a second"),
            (middle, [result.mb_per_s for result in self.pipelines], "MB a second"),
        ):
            axes.barh(names, values)
            axes.set_title(f"pipeline alone: {title}", fontsize=9)
        labels = [f"{result.system}, batch {result.batch}, {result.name}" for result in self.trainings]
        right.barh(labels, [100 * result.wait_share for result in self.trainings])
        right.axvline(2, color="grey", linestyle=":")
        right.set_title("waiting for input (% of training)", fontsize=9)
        for axes in (left, middle, right):
            axes.invert_yaxis()
            axes.tick_params(labelsize=8)
        save_figure(figure, path)


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows], words=("features", "system"))
