"""What the measurement leaves in its folder, rewritten after each part: JSON, and a table a part."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from experiments.benchmarks.compile_time.plots import plot_depth, plot_lengths
from experiments.cli.tables import markdown_table, terminal_table
from madsep_jax.config.io import to_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import read_json, write_json, write_text

_FILE = "compile_time.json"


@dataclasses.dataclass
class Report:
    """The content of compile_time.json, and its folder."""

    folder: Path
    base: dict[str, Any]
    parts: dict[str, Any]

    @classmethod
    def find(cls, folder: Path, base: RunConfig) -> "Report":
        """Take up the folder's parts of earlier runs, or start anew. Writes nothing but the folder.

        Raises:
            InputError: where the folder cannot be made, or holds a measurement with other settings.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {folder}: cannot be made, expected a folder: {error.strerror}") from None
        path = folder / _FILE
        if not path.is_file():
            return cls(folder, to_dict(base), {})
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("parts"), dict):
            raise InputError(f"{path}: is damaged, expected what this command wrote")
        if content.get("base") != to_dict(base):
            raise InputError(f"--out {folder}: holds a measurement with other settings; choose another folder")
        return cls(folder, content["base"], content["parts"])

    def add(self, part: str, rows: list[dict[str, Any]], configs: dict[str, Any], repeats: int) -> None:
        """Add a part, or replace it, and write everything."""
        self.parts[part] = {
            "environment": environment() | {"flags": _flags()},
            "repeats": repeats,
            "rows": [_plain(row) for row in rows],
            "configs": configs,
        }
        self.write()

    def write(self) -> None:
        """Write compile_time.json, table.md and the plots."""
        found = {name: self.parts[name] for name in TABLES if name in self.parts}
        write_json(self.folder / _FILE, {"caption": self.caption, "base": self.base, "parts": found})
        tables = [part_markdown(name, part["rows"]) for name, part in found.items()]
        write_text(self.folder / "table.md", "\n".join([*tables, f"{self.caption}\n"]))
        if "depth" in found:
            plot_depth(found["depth"]["rows"], self.folder / "compile_depth.png")
        if "length" in found:
            plot_lengths(found["length"]["rows"], self.folder / "compile_length.png")

    @property
    def caption(self) -> str:
        """What a reader must know to read the numbers."""
        environments = [part["environment"] for part in self.parts.values()]
        devices = dict.fromkeys(map(describe_machine, environments))
        repeats = max((part["repeats"] for part in self.parts.values()), default=0)
        return (
            f"Preset {self.base['preset']}. Medians of {repeats} repeats (fewer where one takes long), variants in "
            f"turn. Within one process JAX's caches are emptied before each compilation. Ready: from the Python "
            f"function, or the exported program's bytes, to the executable. What compiling is worth is "
            f"measured on the plain operations; paid after: steps from which on compiling and compiled steps take less "
            f"time than uncompiled ones. {'; '.join(devices)}."
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        for name, value in row.items()
    }


def _flags() -> dict[str, str]:
    """Return the environment's settings of compiler and JAX."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(("XLA_", "JAX_"))}


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


def part_terminal(part: str, rows: Sequence[Row]) -> Table:
    """Return a part's table for a terminal."""
    title, columns = TABLES[part]
    return terminal_table(*_texts(columns, rows), title=title)


def part_markdown(part: str, rows: Sequence[Row]) -> str:
    """Return a part's table in markdown, its title above."""
    title, columns = TABLES[part]
    return f"### {title}\n\n{markdown_table(*_texts(columns, rows))}\n"


def _texts(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    return [column.title for column in columns], [[column.text(row) for column in columns] for row in rows]
