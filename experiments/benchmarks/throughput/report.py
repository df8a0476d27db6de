"""Everything that the timing writes for its reader, rewritten after each case."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from experiments.benchmarks.throughput.peak import Peak
from experiments.benchmarks.throughput.plots import plot_all
from experiments.benchmarks.throughput.result import MEASURED, VariantResult
from experiments.cli.tables import markdown_table, terminal_table
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import write_json, write_text

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


@dataclass(frozen=True)
class Report:
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
            "sequences_per_s": result.sequences_per_s,
            "audio_s_per_s": result.audio_s_per_s,
            "gflop_per_s": result.gflop_per_s,
            "peak_gflop_per_s": result.peak_gflop_per_s,
            "peak_share": result.peak_share,
            "ratio_to": {peer: result.ratio_to(peer, self.results) for peer in self.peers} if result.ours else {},
        }

    def columns(self) -> dict[str, Callable[[VariantResult], str]]:
        """Return the columns of the table, each with its cells."""
        columns: dict[str, Callable[[VariantResult], str]] = {
            "system": lambda r: r.system,
            "mode": lambda r: r.mode,
            "batch": lambda r: str(r.batch),
            "frames": lambda r: str(r.frames),
            "precision": lambda r: r.precision,
            "variant": lambda r: r.variant,
            "parameters": lambda r: f"{r.parameters:,}",
            "GFLOP": lambda r: _cell(r.flops / 1e9, ".2f"),
            "step (ms)": lambda r: _cell(r.median_s, ".1f", 1e3),
            "IQR (ms)": lambda r: _cell(_quartile_distance(r), ".1f", 1e3),
            "steps": lambda r: str(len(r.step_s) or "–"),
            "sequences/s": lambda r: _cell(r.sequences_per_s, ".2f"),
            "audio s/s": lambda r: _cell(r.audio_s_per_s, ".1f"),
            "GFLOP/s": lambda r: _cell(r.gflop_per_s, ".1f"),
            "peak (GFLOP/s)": lambda r: _cell(r.peak_gflop_per_s, ".0f"),
            "of peak (%)": lambda r: _cell(r.peak_share, ".0f", 100),
            "memory (MiB)": lambda r: _cell(r.memory.get("peak"), ",.0f", 2**-20),
            "compile (s)": lambda r: _cell(r.compile_s, ".1f"),
        }
        for peer in self.peers:
            columns[f"/ {peer}"] = lambda r, peer=peer: (  # type: ignore[misc]
                _cell(r.ratio_to(peer, self.results), ".2f") if r.ours else "–"
            )
        if len({result.precision for result in self.results}) == 1:
            del columns["precision"]
        if any(result.status != MEASURED for result in self.results):
            columns["status"] = lambda r: r.status
        return columns

    def caption(self) -> str:
        """Return what a reader must know to read the numbers."""
        peaks = "; ".join(
            f"{precision} {peak.gflop_per_s:,.0f} GFLOP/s, copy {peak.copy_gb_per_s:,.1f} GB/s"
            for precision, peak in self.peaks.items()
        )
        machine = describe_machine()
        torch = self.settings.get("torch")
        machine += f", PyTorch {torch['version']}" if torch else ""
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

    def markdown(self) -> str:
        """Return the table in markdown, its caption below."""
        columns = self.columns()
        body = [[cell(result) for cell in columns.values()] for result in self.results]
        table = markdown_table(list(columns), body, words=("system", "mode", "precision", "variant", "status"))
        return f"{table}\n\n{self.caption()}\n"

    def terminal_table(self) -> Table:
        """Return the most important columns of the table, for a terminal."""
        columns = {title: cell for title, cell in self.columns().items() if title not in _NOT_IN_TERMINAL}
        body = [[cell(result) for cell in columns.values()] for result in self.results]
        failed = [number for number, result in enumerate(self.results) if result.status != MEASURED]
        return terminal_table(list(columns), body, words=("system", "mode", "variant"), failed=failed)

    def content(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "caption": self.caption(),
            "environment": environment(),
            "settings": dict(self.settings),
            "earlier_runs": [dict(settings) for settings in self.earlier_runs],
            "peaks": {precision: dataclasses.asdict(peak) for precision, peak in self.peaks.items()},
            "results": [self.row(result) for result in self.results],
        }

    def write(self, folder: Path) -> None:
        """Write throughput.json, table.md, summary.md and the plots."""
        write_json(folder / "throughput.json", self.content())
        write_text(folder / "table.md", self.markdown())
        if fastest(self.results):
            write_text(folder / "summary.md", summary_table(self.results, self.caption()))
        plot_all(self.results, folder)


def _quartile_distance(result: VariantResult) -> float | None:
    if result.third_quartile_s is None or result.first_quartile_s is None:
        return None
    return result.third_quartile_s - result.first_quartile_s


def _cell(value: float | None, form: str, factor: float = 1.0) -> str:
    return "–" if value is None else format(value * factor, form)


_PEERS = ("torch", "torch tuned")


def summary_table(results: Sequence[VariantResult], caption: str) -> str:
    """Return the table in markdown, its caption below; PyTorch's columns where it was timed."""
    of_precision = len({result.precision for result in results}) > 1
    peers = [peer for peer in _PEERS if any(result.variant == peer and result.median_s for result in results)]
    titles = ["system", "mode", "batch", "frames", *(["precision"] if of_precision else []), "parameters"]
    titles += ["GFLOP / s audio", "jax (ms)", *(f"{peer} (ms)" for peer in peers), *(f"/ {peer}" for peer in peers)]
    titles += ["audio s / s", "memory (MiB)", "peak (GFLOP/s)"]
    body = []
    for best in fastest(results):
        others = [next((r for r in results if r.variant == peer and r.same_work(best)), None) for peer in peers]
        body.append(
            [
                best.system,
                best.mode,
                best.batch,
                best.frames,
                *([best.precision] if of_precision else []),
                f"{best.parameters:,}",
                f"{best.flops / 1e9 / best.audio_s:.1f}",
                _number(best.median_s, 1e3),
                *(_number(other.median_s if other else None, 1e3) for other in others),
                *(_number(best.ratio_to(peer, results), digits=2) for peer in peers),
                _number(best.audio_s_per_s),
                _number(best.memory.get("peak"), 2**-20, digits=0),
                _number(best.peak_gflop_per_s, digits=0),
            ]
        )
    table = markdown_table(titles, body, words=("system", "mode", "precision"))
    return f"{table}\n\n{caption}\n"


def fastest(results: Sequence[VariantResult]) -> list[VariantResult]:
    """Return our fastest form in each case, in the order of the cases."""
    found: list[VariantResult] = []
    for result in results:
        if not result.ours or result.median_s is None:
            continue
        place = next((i for i, other in enumerate(found) if other.same_work(result)), None)
        if place is None:
            found.append(result)
        elif result.median_s < (found[place].median_s or 0):
            found[place] = result
    return found


def _number(value: float | None, factor: float = 1.0, digits: int = 1) -> str:
    return "–" if value is None else f"{value * factor:,.{digits}f}"
