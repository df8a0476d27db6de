"""What `experiments.compile_time --target` leaves in its folder, rewritten after each row."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from experiments.benchmarks.compile_time.targets import PlannedRows, launch_latencies
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.config.systems import mark_of

_CAPTION = (
    "Planned, not measured: train steps compiled for devices that were not there, and counted in the text of the "
    "compiled program; nothing has run. Compile: from the function to the executable, on this machine. Launches: "
    "kernels, loops with all their turns{chain}. Moved: bytes that the kernels read from and write to the device's "
    "memory, as if no cache kept anything between them; what lies in a TPU's memory on the chip does not count. "
    "Roofline: the larger of bytes over bandwidth and arithmetic over its peak rate, and a latency for each launch "
    "that is assumed ({latencies}). Floor: the least that a step must move (parameters, optimiser, gradient, batch, "
    "and what the gradient keeps, each once; recurrent kernels once a step where no chip holds them) over bandwidth; "
    "a small step on a TPU, whose chip keeps all of it, moves less. Memory: arguments, results and temporary arrays "
    "at the peak. All of one device. Of several that share a batch: the collective operations of a step, what each "
    "device sends, and the share of the step, by the roofline, that is left of it if nothing goes on meanwhile on "
    "links of the makers' bandwidth."
)

_CHAIN = "; chain: the most of them in a row that each wait for what the one before has computed"


def _of_count(name: str) -> Callable[[Row], Any]:
    return lambda row: None if row["count"] is None else row["count"][name]


def _of_exchange(name: str) -> Callable[[Row], Any]:
    return lambda row: row["exchange"][name] if row["exchange"] and row["devices"] > 1 else None


def _memory(row: Row) -> Any:
    return row["memory"]["peak"] if row["memory"] else None


def _temporary(row: Row) -> Any:
    return row["memory"]["temporary"] if row["memory"] else None


def _flops(row: Row) -> Any:
    count = row["count"]
    return None if count is None else count["product_flops"] + count["other_flops"]


def _fits(row: Row) -> str | None:
    if row["reason"]:
        return row["reason"]
    return None if row["fits"] is None else "yes" if row["fits"] else "no"


def _over_floor(row: Row) -> Any:
    return row["count"]["bytes"] / row["floor_bytes"] if row["count"] and row["floor_bytes"] else None


_COLUMNS = (
    Column("device", "target", word=True),
    Column("devices", "devices"),
    Column("system", "system", word=True),
    Column("batch", "batch", rank=0),
    Column("frames", "frames", rank=0),
    Column("precision", "precision", word=True),
    Column("form", "form", word=True),
    Column("compile (s)", "compile_s", ",.0f", rank=2),
    Column("launches", _of_count("launches"), ",d"),
    Column("chain", _of_count("chain"), ",d"),
    Column("moved (GB)", _of_count("bytes"), ",.2f", 1e-9),
    Column("/ floor", _over_floor, ",.1f"),
    Column("GFLOP", _flops, ",.0f", 1e-9),
    Column("roofline (ms)", "roofline_s", ",.2f", 1e3),
    Column("floor (ms)", "floor_s", ",.2f", 1e3),
    Column("temporary (GiB)", _temporary, ",.2f", 2**-30),
    Column("memory (GiB)", _memory, ",.2f", 2**-30),
    Column("fits", _fits, word=True, rank=1, sentence=True),
)

_SHARED_COLUMNS = (
    Column("exchanges", _of_exchange("exchanges"), ",d"),
    Column("sent (MB)", _of_exchange("sent_bytes"), ",.1f", 1e-6),
    Column("efficiency", lambda row: row["efficiency"] if row["devices"] > 1 else None, ".2f"),
)

_OPERATION_COLUMNS = (
    *_COLUMNS[:7],
    Column("moved (GB)", "moved", ",.3f", 1e-9),
    Column("share (%)", "share", ".0f", 100),
    Column("runs", "runs", ",d"),
    Column("operation", "operation", word=True),
    Column("from", "source", word=True),
)


def make_report(planned: PlannedRows) -> Report:
    """Return compile_time_targets.json, table.md, operations.md and the plots."""
    rows = planned.ordered()
    chained = all("chain" in row["count"] for row in rows if row["count"])  # those of earlier versions have none
    caption = _CAPTION.format(chain=_CHAIN if chained else "", latencies=", ".join(launch_latencies(rows)))
    shared = _SHARED_COLUMNS if any(row["devices"] > 1 for row in rows) else ()
    columns = [column for column in _COLUMNS if column.title != "chain" or chained]
    made = {**made_with({"preset": planned.preset}), "caption": caption}
    operations = Table(
        _OPERATION_COLUMNS, _operations(rows), f"The five operations of each program that move most. {caption}"
    )
    pictures = {
        f"roofline_against_{x}.png": partial(_draw, x, other, rows)
        for x, other in (("batch", "frames"), ("frames", "batch"))
    }
    return Report(
        "compile_time_targets",
        {**made, "rows": rows},
        [Table((*columns, *shared), rows, caption)],
        texts={"operations.md": operations.markdown() + "\n"},
        pictures=pictures,
    )


def _operations(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    return [
        {
            **row,
            "moved": one["bytes"],
            "share": one["bytes"] / max(row["count"]["bytes"], 1),
            "runs": one["runs"],
            "operation": f"{one['name']}: {one['kind'][:60]}",
            "source": one["source"].rpartition("jit(train_step)/")[2][-80:],
        }
        for row in rows
        if row["count"]
        for one in row["count"]["largest"]
    ]


def _draw(x: str, fixed: str, all_rows: Sequence[Row]) -> Any:
    """Draw the roofline's time against batch or length, a panel for each device; None where nothing varies."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

    first = all_rows[0][fixed] if all_rows else None
    rows = [row for row in all_rows if row["roofline_s"] and row[fixed] == first and row["devices"] == 1]
    if len({row[x] for row in rows}) < 2:
        return None
    devices = list(dict.fromkeys(row["target"] for row in rows))
    systems = list(dict.fromkeys(row["system"] for row in rows))
    figure = Figure(figsize=(4.5 * len(devices) + 2.5, 4.4), layout="constrained")
    panels = figure.subplots(1, len(devices), squeeze=False, sharey=True)[0]
    for axes, device in zip(panels, devices, strict=True):
        lines: dict[tuple[str, ...], list[Row]] = {}
        for row in [row for row in rows if row["target"] == device]:
            lines.setdefault((row["system"], row["precision"], row["form"]), []).append(row)
        for (system, *how), points in lines.items():
            points = sorted(points, key=lambda row: row[x])
            axes.plot(
                [row[x] for row in points],
                [row["roofline_s"] * 1e3 for row in points],
                marker=mark_of(system),
                linestyle="--" if "plain" in how else "-",
                color=colormaps["tab20"](systems.index(system) % 20),
                label=", ".join([system, *(one for one in how if one not in ("float32", "auto"))]),
            )
        axes.set(xscale="log", yscale="log", title=f"{device}, {first} {_LABELS[fixed]}", xlabel=_LABELS[x])
        axes.xaxis.set_major_locator(FixedLocator(sorted({row[x] for row in rows})))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("roofline of a train step (ms)\nplanned, not measured")
    shown = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    panels[-1].legend(shown.values(), shown, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return figure


_LABELS = {"batch": "sequences in a batch", "frames": "frames of a sequence"}
