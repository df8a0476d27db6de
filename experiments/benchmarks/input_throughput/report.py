"""What the measurement of the input writes for its reader."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.host.environment import describe_machine

_PIPELINE_CAPTION = (
    "The pipeline alone, its batches not used: median of five runs and distance of the quartiles, from memory (an "
    "epoch was read before). MB: arrays as they are handed over. CPU: processor time over that of all cores."
)

_TRAINING_CAPTION = (
    "Training steps one by one, each waited for, its batch taken from the pipeline when it begins: median of a step, "
    "and share of the whole time that was spent waiting for batches."
)

_PIPELINES = (
    Column("features", "name", word=True),
    Column("batch", "batch"),
    Column("sequences/s", "sequences_per_s", ",.0f"),
    Column("IQR", lambda row: row["third_quartile"] - row["first_quartile"], ",.0f"),
    Column("MB/s", "mb_per_s", ",.0f"),
    Column("CPU (%)", "cpu_share", ".0f", 100),
)

_TRAININGS = (
    Column("features", "name", word=True),
    Column("system", "system", word=True),
    Column("batch", "batch"),
    Column("step (ms)", "median_step_s", ".1f", 1e3),
    Column("waiting (%)", "wait_share", ".2f", 100),
)


def make_report(pipelines: Sequence[Row], trainings: Sequence[Row], settings: Mapping[str, Any]) -> Report:
    """Return input_throughput.json, table.md and the plot, of all that has been measured so far."""
    tables = [Table(_PIPELINES, pipelines, f"{describe_machine()}. {_PIPELINE_CAPTION}")]
    if trainings:
        tables.append(Table(_TRAININGS, trainings, _TRAINING_CAPTION))
    content = {**made_with(settings), "pipelines": pipelines, "trainings": trainings}
    pictures = {"input_throughput.png": partial(_draw, pipelines, trainings)}
    return Report("input_throughput", content, tables, pictures=pictures)


def _draw(pipelines: Sequence[Row], trainings: Sequence[Row]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, value, title in ((left, "sequences_per_s", "sequences a second"), (middle, "mb_per_s", "MB a second")):
        axes.barh([row["name"] for row in pipelines], [row[value] for row in pipelines])
        axes.set_title(f"pipeline alone: {title}", fontsize=9)
    labels = [f"{row['system']}, batch {row['batch']}, {row['name']}" for row in trainings]
    right.barh(labels, [100 * row["wait_share"] for row in trainings])
    right.axvline(2, color="grey", linestyle=":")
    right.set_title("waiting for input (% of training)", fontsize=9)
    for axes in (left, middle, right):
        axes.invert_yaxis()
        axes.tick_params(labelsize=8)
    return figure
