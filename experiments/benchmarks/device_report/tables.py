"""The tables of a report."""

from collections.abc import Sequence
from typing import Any

from experiments.cli.results import Column, Row, Table
from madsep_jax.host.environment import describe_machine

_CAPTION = (
    "Median of single steps; all variants of a case take turns. Planned, not measured, by the text of the compiled "
    "program: launches of kernels, GB to and from memory, and the roofline, max(bytes / bandwidth, arithmetic / rate) "
    "+ launches times a stated latency; floor: the least GB that the definition moves. Memory: XLA's plan. `torch`: "
    "eager; `torch tuned`: channels last, fused Adam. / torch: time over the faster of both. Slowest: share of the "
    "step's time."
)
_REHEARSED = "A REHEARSAL at a small size: it shows that all of it works; the times say nothing. "


def row_table(rows: Sequence[Row], rehearsal: bool) -> Table:
    """Return all variants of all cases."""

    def ratio(row: Row) -> float | None:
        alike = [other for other in rows if _case(other) == _case(row) and other["variant"].startswith("torch")]
        best = min((other["median_s"] for other in alike if other["median_s"]), default=None)
        is_ours = row["variant"].startswith("jax")
        return row["median_s"] / best if is_ours and row["median_s"] and best else None

    def over_planned(row: Row) -> float | None:
        seconds = _planned(row, "seconds")
        return row["median_s"] / seconds if row["median_s"] and seconds else None

    columns = [
        *(Column(name, name, word=True) for name in ("system", "mode")),
        *(Column(name, name, rank=0) for name in ("batch", "frames")),
        Column("precision", "precision", word=True),
        Column("variant", "variant", word=True),
        Column("step (ms)", "median_s", ",.2f", 1e3, rank=0),
        Column("/ torch", ratio, ".2f"),
        Column("audio s/s", lambda row: row.get("audio_s_per_s"), ",.0f", rank=2),
        Column("planned (ms)", lambda row: _planned(row, "seconds"), ",.2f", 1e3, rank=2),
        Column("measured / planned", over_planned, ".2f", rank=2),
        Column("launches", lambda row: _planned(row, "launches"), ",", rank=3),
        Column("GB", lambda row: _planned(row, "bytes"), ",.2f", 1e-9, rank=3),
        Column("floor (GB)", lambda row: _planned(row, "floor_bytes"), ",.2f", 1e-9, rank=3),
        Column("memory (MiB)", _memory, ",.0f", 2**-20, rank=2),
        Column("slowest", _slowest, word=True, rank=2, sentence=True),
        Column("status", "status", word=True, rank=1, sentence=True),
    ]
    return Table(columns, rows, (_REHEARSED if rehearsal else "") + f"{describe_machine()}. {_CAPTION}", "Throughput")


def agreement_table(rows: Sequence[Row], tolerance: float) -> Table:
    """Return which systems are right."""
    columns = [
        Column("system", "system", word=True),
        Column("form", "form", word=True),
        *(Column(name.replace("_", " "), name, ".1e") for name in ("voice", "loss", "gradient_norm")),
        Column("verdict", "verdict", word=True),
    ]
    caption = f"Differences from float64 on the CPU, as shares of the largest value; at most {tolerance:g} agrees."
    return Table(columns, rows, caption, "Correctness")


def _case(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("system", "mode", "precision", "batch", "frames"))


def _planned(row: Row, name: str) -> Any:
    return getattr(row["planned"], name) if row["planned"] else None


def _memory(row: Row) -> int | None:
    found = row.get("memory") or _planned(row, "memory") or {}
    return found.get("peak")


def _slowest(row: Row) -> str | None:
    if not row["slowest"]:
        return None
    first = row["slowest"][0]
    source = first.source.rsplit("/", 2)[-2:] if first.source else [first.name]
    return f"{first.share:.0%} {'/'.join(source)}"[:48]
