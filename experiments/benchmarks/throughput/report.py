"""Everything that the timing writes for its reader, rewritten after each case."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import table as rich_table

from experiments.benchmarks.throughput.peak import Peak
from experiments.benchmarks.throughput.plots import pictures
from experiments.benchmarks.throughput.result import MEASURED, VariantResult, same_case
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.host.environment import describe_machine

CAPTION = (
    "Median of single steps; all variants of one system and size take turns, and the first step of a turn does not "
    "count; IQR: distance of the quartiles. Compiling is not in it. Sequences: of so many frames, context included. "
    "Audio: seconds of target frames a second. GFLOP: operations of the definition (XLA's count of the plain form), "
    "not those that a form computes twice; peak: of a large matrix product right before each round of turns, median: "
    "what else the machine does decides how much of its best is left. Memory: XLA's plan for one step, weights and "
    "state included. Train step: gradients, clip, Adam, dropout, running statistics. `torch`: eager, layers as "
    "documented; `torch tuned`: channels last, in-place activations, fused Adam. Ratios: time over PyTorch's, below "
    "1 is faster."
)

_KEPT = " Memory that either side freed was kept for its next step (`--keep-freed-memory`)."

#: Share of its best that a machine without other work reaches.
_QUIET = 0.8

_NOT_IN_TERMINAL = ("parameters", "GFLOP", "steps", "sequences/s", "compile (s)")

#: What of a result follows from its fields.
_DERIVED = ("sequences_per_s", "audio_s_per_s", "gflop_per_s", "peak_gflop_per_s", "peak_share")


def _quartile_distance(row: Row) -> float | None:
    return None if row["median_s"] is None else row["third_quartile_s"] - row["first_quartile_s"]


_PRECISION = Column("precision", "precision", word=True)

_CASE = (
    Column("system", "system", word=True),
    Column("mode", "mode", word=True),
    Column("batch", "batch"),
    Column("frames", "frames"),
)

_VARIANT = (
    Column("variant", "variant", word=True),
    Column("parameters", "parameters", ","),
    Column("GFLOP", lambda row: row["flops"] / 1e9, ".2f"),
    Column("step (ms)", "median_s", ".1f", 1e3),
    Column("IQR (ms)", _quartile_distance, ".1f", 1e3),
    Column("steps", lambda row: row["steps"] or None),
    Column("sequences/s", "sequences_per_s", ".2f"),
    Column("audio s/s", "audio_s_per_s", ".1f"),
    Column("GFLOP/s", "gflop_per_s", ".1f"),
    Column("peak (GFLOP/s)", "peak_gflop_per_s", ".0f"),
    Column("of peak (%)", "peak_share", ".0f", 100),
    Column("memory (MiB)", lambda row: row["memory"].get("peak"), ",.0f", 2**-20),
    Column("compile (s)", "compile_s", ".1f"),
)


@dataclass(frozen=True)
class Timings:
    """All that is known so far."""

    results: Sequence[VariantResult]
    peaks: Mapping[str, Peak]
    settings: Mapping[str, Any]
    """What the command was asked for, and what else its numbers depend on."""
    earlier_runs: Sequence[Mapping[str, Any]] = ()
    """The settings of earlier runs, whose results are among these."""

    @property
    def peers(self) -> list[str]:
        """Return PyTorch's variants that were measured."""
        return list(dict.fromkeys(result.variant for result in self.results if not result.ours and result.median_s))

    def row(self, result: VariantResult) -> dict[str, Any]:
        """Return a result with all that follows from it."""
        return {
            **dataclasses.asdict(result),
            "steps": len(result.step_s),
            **{name: getattr(result, name) for name in _DERIVED},
            "ratio_to": {peer: result.ratio_to(peer, self.results) for peer in self.peers} if result.ours else {},
        }

    def table(self) -> Table:
        """Return all variants of all cases."""
        ratios = [_of_peer(f"/ {peer}", "ratio_to", peer) for peer in self.peers]
        failed = any(result.status != MEASURED for result in self.results)
        status = [Column("status", "status", word=True)] if failed else []
        columns = [*_CASE, *self._precision_column(), *_VARIANT, *ratios, *status]
        return Table(columns, [self.row(result) for result in self.results], self.caption())

    def summary(self) -> Table:
        """Return our fastest form in each case, PyTorch's times beside it where it was timed."""
        peers = sorted(self.peers)
        columns = [
            *_CASE,
            *self._precision_column(),
            Column("parameters", "parameters", ","),
            Column("GFLOP / s audio", lambda row: row["flops"] / 1e9 / row["audio_s"], ".1f"),
            Column("jax (ms)", "median_s", ",.1f", 1e3),
            *(_of_peer(f"{peer} (ms)", "peer_s", peer, ",.1f", 1e3) for peer in peers),
            *(_of_peer(f"/ {peer}", "ratio_to", peer) for peer in peers),
            Column("audio s / s", "audio_s_per_s", ",.1f"),
            Column("memory (MiB)", lambda row: row["memory"].get("peak"), ",.0f", 2**-20),
            Column("peak (GFLOP/s)", "peak_gflop_per_s", ",.0f"),
        ]
        rows = [self.row(best) | {"peer_s": best.seconds_of(peers, self.results)} for best in fastest(self.results)]
        return Table(columns, rows, self.caption())

    def _precision_column(self) -> list[Column]:
        return [_PRECISION] if len({result.precision for result in self.results}) > 1 else []

    def caption(self) -> str:
        """Return what a reader must know to read the numbers."""
        peaks = "; ".join(
            f"{precision} {peak.gflop_per_s:,.0f} GFLOP/s, copy {peak.copy_gb_per_s:,.1f} GB/s"
            for precision, peak in self.peaks.items()
        )
        torch = self.settings.get("torch")
        machine = describe_machine() + (f", PyTorch {torch['version']}" if torch else "")
        kept = self.settings.get("options", {}).get("keep_freed_memory")
        return f"{machine}. At its best: {peaks}. {CAPTION}{_KEPT if kept else ''}"

    def disturbed(self) -> list[str]:
        """Return a line for each case during which the machine did much less than at its best."""
        lines = {}
        for result in self.results:
            best, now = self.peaks.get(result.precision), result.peak_gflop_per_s
            if best and now and now < _QUIET * best.gflop_per_s:
                lines[
                    f"{result.system} {result.mode}, batch {result.batch}, {result.frames} frames, {result.precision}"
                ] = f"the machine did {now:,.0f} GFLOP/s of {best.gflop_per_s:,.0f}; time it again when it is quiet"
        return [f"{case}: {line}" for case, line in lines.items()]

    def terminal_table(self) -> rich_table.Table:
        """Return the most important columns of the table, for a terminal."""
        failed = [number for number, result in enumerate(self.results) if result.status != MEASURED]
        return self.table().terminal(_NOT_IN_TERMINAL, failed)

    def report(self) -> Report:
        """Return throughput.json, table.md, summary.md and the plots."""
        table, summary = self.table(), self.summary()
        content = {
            "caption": self.caption(),
            **made_with(self.settings),
            "earlier_runs": self.earlier_runs,
            "peaks": self.peaks,
            "results": table.rows,
        }
        texts = {"summary.md": f"{summary.markdown()}\n"} if summary.rows else {}
        return Report("throughput", content, [table], texts, pictures(self.results))


def _of_peer(title: str, name: str, peer: str, form: str = ".2f", factor: float = 1) -> Column:
    return Column(title, lambda row: row[name].get(peer), form, factor)


def fastest(results: Sequence[VariantResult]) -> list[VariantResult]:
    """Return our fastest form in each case, in the order of the cases."""
    found: list[VariantResult] = []
    for result in sorted([one for one in results if one.ours and one.median_s], key=lambda one: one.median_s or 0):
        if not any(same_case(result, other) for other in found):
            found.append(result)
    return sorted(found, key=results.index)
