"""Everything that the timing writes for its reader, rewritten after each case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.case import Case
from experiments.benchmarks.throughput.peak import Peak
from experiments.benchmarks.throughput.plots import pictures
from experiments.benchmarks.throughput.run_case import CASE, MEASURED
from experiments.cli.results import Column, Report, Row, Table, made_with, read_earlier
from madsep_jax.errors import InputError
from madsep_jax.host.environment import describe_machine, environment

CAPTION = (
    "Median of single steps; all variants of one system and size take turns, and the first step of a turn does not "
    "count; IQR: distance of the quartiles. Compiling is not in it. Sequences: of so many frames, context included. "
    "Audio: seconds of target frames a second. GFLOP: operations of the definition (XLA's count of the plain form), "
    "not those that a form computes twice; peak: of a large matrix product right before each round of turns, median: "
    "what else the machine does decides how much of its best is left. Memory: XLA's plan for one step, weights and "
    "state included. Train step: gradients, clip, Adam, dropout, running statistics. `torch`: eager, layers as "
    "documented; `torch tuned`: channels last, in-place activations, fused Adam; `torch compiled`: the same under "
    "torch.compile. Ratios: time over PyTorch's, below 1 is faster."
)

_KEPT = " Memory that either side freed was kept for its next step (`--keep-freed-memory`)."

#: Share of its best that a machine without other work reaches.
_QUIET = 0.8


def _quartile_distance(row: Row) -> float | None:
    return None if row["median_s"] is None else row["third_quartile_s"] - row["first_quartile_s"]


_CASE = (
    Column("system", "system", word=True),
    Column("mode", "mode", word=True),
    Column("batch", "batch", rank=0),
    Column("frames", "frames", rank=0),
)

_VARIANT = (
    Column("variant", "variant", word=True),
    Column("parameters", "parameters", ",", rank=3),
    Column("GFLOP", lambda row: row["flops"] / 1e9, ".2f", rank=3),
    Column("step (ms)", "median_s", ".1f", 1e3, rank=0),
    Column("IQR (ms)", _quartile_distance, ".1f", 1e3, rank=2),
    Column("steps", lambda row: row["steps"] or None, rank=3),
    Column("sequences/s", "sequences_per_s", ".2f", rank=3),
    Column("audio s/s", "audio_s_per_s", ".1f", rank=2),
    Column("GFLOP/s", "gflop_per_s", ".1f", rank=2),
    Column("peak (GFLOP/s)", "peak_gflop_per_s", ".0f", rank=3),
    Column("of peak (%)", "peak_share", ".0f", 100, rank=2),
    Column("memory (MiB)", lambda row: row["memory"].get("peak"), ",.0f", 2**-20, rank=2),
    Column("compile (s)", "compile_s", ".1f", rank=3),
)


#: Options that say which cases are timed, and not how.
_OF_CASES = {"systems", "batches", "lengths", "modes", "precisions", "out"}

#: What of the environment may differ: nothing that decides about speed.
_OF_NO_MATTER = {"platform", "openblas"}


@dataclass
class Timings:
    """All that is known so far."""

    rows: list[dict[str, Any]]
    """Of each case the variants, see `make_row`."""
    peaks: Mapping[str, Peak]
    """By precision."""
    settings: Mapping[str, Any]
    """What the command was asked for, and what else its numbers depend on."""
    earlier_runs: Sequence[Mapping[str, Any]] = ()
    """The settings of earlier runs, whose rows are among these."""

    @classmethod
    def find(cls, folder: Path, settings: Mapping[str, Any], cases: Sequence[Case]) -> "Timings":
        """Take up what a folder holds, without what is to be timed again, or start anew.

        Raises:
            InputError: where it is damaged, or was measured in another way or on another machine.
        """

        def read(content: Any) -> Timings:
            peaks = {precision: Peak(**peak) for precision, peak in content["peaks"].items()}
            found = cls(content["results"], peaks, settings, [*content["earlier_runs"], content["settings"]])
            found.table().markdown()  # raises where one of the values is not there
            if _how(content["settings"], content["environment"]) != _how(settings, environment()):
                raise InputError(
                    f"--out {folder}: holds a measurement with other settings, versions or another device; choose "
                    "another folder"
                )
            again = [tuple(getattr(case, name) for name in CASE) for case in cases]
            found.rows = [row for row in found.rows if _case_of(row) not in again]
            return found

        return read_earlier(folder / "throughput.json", read) or cls([], {}, settings)

    @property
    def peers(self) -> list[str]:
        """Return PyTorch's variants that were measured."""
        return list(dict.fromkeys(row["variant"] for row in self.rows if not _is_ours(row) and row["median_s"]))

    def compared(self) -> list[dict[str, Any]]:
        """Return the rows with `ratio_to`: of ours the time over that of each peer in the same case."""
        return [{**row, "ratio_to": self._ratios(row) if _is_ours(row) else {}} for row in self.rows]

    def _ratios(self, row: Row) -> dict[str, float | None]:
        peer_s = self._peer_s(row)
        return {
            peer: row["median_s"] / seconds if row["median_s"] and seconds else None for peer, seconds in peer_s.items()
        }

    def _peer_s(self, row: Row) -> dict[str, float | None]:
        """Return the median step of each peer in the row's case."""
        found = {other["variant"]: other["median_s"] for other in self.rows if _case_of(other) == _case_of(row)}
        return {peer: found.get(peer) for peer in self.peers}

    def table(self) -> Table:
        """Return all variants of all cases."""
        ratios = [_of_peer(f"/ {peer}", "ratio_to", peer) for peer in self.peers]
        status = [Column("status", "status", word=True, rank=1, sentence=True)] if any(map(_failed, self.rows)) else []
        columns = [*self._case_columns(), *_VARIANT, *ratios, *status]
        return Table(columns, self.compared(), self.caption())

    def summary(self) -> Table:
        """Return our fastest form in each case, PyTorch's times beside it where it was timed."""
        peers = sorted(self.peers)
        columns = [
            *self._case_columns(),
            Column("parameters", "parameters", ","),
            Column("GFLOP / s audio", lambda row: row["flops"] / 1e9 / row["audio_s"], ".1f"),
            Column("jax (ms)", "median_s", ",.1f", 1e3),
            *(_of_peer(f"{peer} (ms)", "peer_s", peer, ",.1f", 1e3) for peer in peers),
            *(_of_peer(f"/ {peer}", "ratio_to", peer) for peer in peers),
            Column("audio s / s", "audio_s_per_s", ",.1f"),
            Column("memory (MiB)", lambda row: row["memory"].get("peak"), ",.0f", 2**-20),
            Column("peak (GFLOP/s)", "peak_gflop_per_s", ",.0f"),
        ]
        rows = [{**row, "peer_s": self._peer_s(row)} for row in _fastest(self.compared())]
        return Table(columns, rows, self.caption())

    def _case_columns(self) -> list[Column]:
        several = len({row["precision"] for row in self.rows}) > 1
        return [*_CASE, *([Column("precision", "precision", word=True)] if several else [])]

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
        for row in self.rows:
            best, now = self.peaks.get(row["precision"]), row["peak_gflop_per_s"]
            if best and now and now < _QUIET * best.gflop_per_s:
                case = "{system} {mode}, batch {batch}, {frames} frames, {precision}".format_map(row)
                lines[case] = f"the machine did {now:,.0f} GFLOP/s of {best.gflop_per_s:,.0f}"
        return [f"{case}: {line}; time it again when it is quiet" for case, line in lines.items()]

    def failed(self) -> list[int]:
        """Return the numbers of the lines that could not be measured."""
        return [number for number, row in enumerate(self.rows) if _failed(row)]

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
        return Report("throughput", content, [table], texts, pictures(self.rows))


def _of_peer(title: str, name: str, peer: str, form: str = ".2f", factor: float = 1) -> Column:
    return Column(title, lambda row: row[name].get(peer), form, factor)


def _failed(row: Row) -> bool:
    return row["status"] != MEASURED


def _is_ours(row: Row) -> bool:
    return row["variant"].startswith("jax")


def _case_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in CASE)


def _fastest(rows: Sequence[Row]) -> list[Row]:
    """Return our fastest form in each case, in the order of the cases."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in [row for row in rows if _is_ours(row) and row["median_s"]]:
        found.setdefault(_case_of(row), []).append(row)
    return [min(of_case, key=lambda row: row["median_s"]) for of_case in found.values()]


def _how(settings: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what has to agree. A switch that is off is left out, for files of before there was one."""
    options = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings["options"].items()
        if name not in _OF_CASES and value is not False
    }
    return {**settings, "options": options}, {name: found[name] for name in found if name not in _OF_NO_MATTER}
