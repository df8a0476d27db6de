"""The measurements as tables: one a part, in the terminal and in markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from experiments import text_table

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its title, the row's field, and how its value is written."""

    title: str
    field: str
    write: Callable[[Any], str] = str

    def text(self, row: Row) -> str:
        """Return the cell; of a repeated measurement the median."""
        value = row[self.field]
        if isinstance(value, dict):
            value = value["median"]
        return "–" if value is None else self.write(value)


def _number(digits: int, unit: float = 1) -> Callable[[Any], str]:
    return lambda value: f"{value / unit:,.{digits}f}"


_SECONDS = _number(2)
_FINE_SECONDS = _number(3)
_KIB, _MIB = _number(0, 2**10), _number(1, 2**20)
_NAMES = (Column("system", "system"), Column("program", "mode"))
_STAGES = (
    Column("trace (s)", "trace_s", _SECONDS),
    Column("lower (s)", "lower_s", _SECONDS),
    Column("compile (s)", "compile_s", _SECONDS),
    Column("all (s)", "total_s", _SECONDS),
    Column("StableHLO (KiB)", "stablehlo_bytes", _KIB),
    Column("operations", "stablehlo_operations", _number(0)),
    Column("fusions", "fusions", _number(0)),
    Column("executable (KiB)", "executable_bytes", _KIB),
    Column("temporary memory (MiB)", "temporary_bytes", _MIB),
)
#: Title and columns of each part.
TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "systems": ("Stages of compiling", (*_NAMES, Column("blocks", "blocks"), *_STAGES)),
    "depth": (
        "Against depth (train step)",
        (Column("system", "system"), Column("L_enc", "layers"), Column("blocks", "blocks"), *_STAGES),
    ),
    "length": (
        "Against sequence length (train step)",
        (Column("system", "system"), Column("frames", "frames"), *_STAGES),
    ),
    "start": (
        "First train step of a new process",
        (
            Column("system", "system"),
            Column("start", "start"),
            Column("Python, imports (s)", "import_s", _SECONDS),
            Column("initial state (s)", "init_s", _SECONDS),
            Column("read (s)", "read_s", _SECONDS),
            Column("trace (s)", "trace_s", _SECONDS),
            Column("lower (s)", "lower_s", _SECONDS),
            Column("compile or cache (s)", "compile_s", _SECONDS),
            Column("ready (s)", "ready_s", _SECONDS),
            Column("first run (s)", "run_s", _SECONDS),
            Column("all (s)", "total_s", _SECONDS),
            Column("cache (KiB)", "cache_bytes", _KIB),
        ),
    ),
    "export": (
        "Ahead-of-time export",
        (
            *_NAMES,
            Column("export (s)", "export_s", _SECONDS),
            Column("program (KiB)", "program_bytes", _KIB),
            Column("weights (MiB)", "weights_bytes", _MIB),
            Column("read (s)", "read_s", _FINE_SECONDS),
            Column("ready (s)", "ready_s", _SECONDS),
            Column("ready, not exported (s)", "direct_s", _SECONDS),
            Column("first call (s)", "first_call_s", _SECONDS),
            Column("largest difference", "difference", lambda value: f"{value:.1g}"),
        ),
    ),
    "compiler": (
        "Options of the compiler (train step)",
        (
            Column("system", "system"),
            Column("options", "options"),
            Column("compile (s)", "compile_s", _SECONDS),
            Column("step (s)", "step_s", _FINE_SECONDS),
            Column("share of a step with XLA's defaults", "step_share", _SECONDS),
        ),
    ),
    "op-by-op": (
        "What compiling is worth",
        (
            *_NAMES,
            Column("ready (s)", "ready_s", _SECONDS),
            Column("compiled step (s)", "step_s", _FINE_SECONDS),
            Column("eager step (s)", "eager_s", _FINE_SECONDS),
            Column("speed-up", "eager_speed_up", _number(1)),
            Column("paid after", "eager_paid_after"),
            Column("op by op (s)", "op_by_op_s", _FINE_SECONDS),
            Column("speed-up", "op_by_op_speed_up", _number(1)),
            Column("paid after", "op_by_op_paid_after"),
        ),
    ),
}


def terminal_table(part: str, rows: Sequence[Row]) -> Table:
    """Return a part's table for a terminal."""
    title, columns = TABLES[part]
    return text_table.terminal_table(*_texts(columns, rows), title=title)


def markdown_table(part: str, rows: Sequence[Row]) -> str:
    """Return a part's table in markdown, its title above."""
    title, columns = TABLES[part]
    return f"### {title}\n\n{text_table.markdown_table(*_texts(columns, rows))}\n"


def _texts(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    return [column.title for column in columns], [[column.text(row) for column in columns] for row in rows]
