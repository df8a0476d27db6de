"""What the measurement leaves in its folder, rewritten after each part: JSON, and a table a part."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmarks.compile_time.parts import Part
from experiments.benchmarks.compile_time.stages import Rows
from experiments.cli.results import Column, Report, Row, Table, plain, read_earlier
from madsep_jax.config.io import to_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.environment import describe_machine, environment


def _seconds(title: str, name: str, digits: int = 2, rank: int = 1) -> Column:
    return Column(f"{title} (s)", name, f",.{digits}f", rank=rank)


def _kib(title: str, name: str) -> Column:
    return Column(f"{title} (KiB)", name, ",.0f", 2**-10)


def _mib(title: str, name: str) -> Column:
    return Column(f"{title} (MiB)", name, ",.1f", 2**-20)


_SYSTEM = Column("system", "system", word=True)

_PROGRAM, _BLOCKS = Column("program", "mode", rank=0), Column("blocks", "blocks", rank=0)

_STAGES = (
    _seconds("trace", "trace_s"),
    _seconds("lower", "lower_s"),
    _seconds("compile", "compile_s"),
    _seconds("all", "total_s"),
    _kib("StableHLO", "stablehlo_bytes"),
    Column("operations", "stablehlo_operations", ",.0f"),
    Column("fusions", "fusions", ",.0f"),
    _kib("executable", "executable_bytes"),
    _mib("temporary memory", "temporary_bytes"),
)

#: Title and columns of each part.
TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "systems": ("Stages of compiling", (_SYSTEM, _PROGRAM, _BLOCKS, *_STAGES)),
    "depth": ("Against depth (train step)", (_SYSTEM, Column("L_enc", "layers"), _BLOCKS, *_STAGES)),
    "length": ("Against sequence length (train step)", (_SYSTEM, Column("frames", "frames"), *_STAGES)),
    "start": (
        "First train step of a new process",
        (
            _SYSTEM,
            Column("start", "start", rank=0),
            _seconds("Python, imports", "import_s"),
            _seconds("initial state", "init_s"),
            _seconds("read", "read_s"),
            _seconds("trace", "trace_s"),
            _seconds("lower", "lower_s"),
            _seconds("compile or cache", "compile_s", rank=0),
            _seconds("ready", "ready_s"),
            _seconds("first run", "run_s"),
            _seconds("all", "total_s", rank=0),
            _kib("cache", "cache_bytes"),
        ),
    ),
    "export": (
        "Ahead-of-time export",
        (
            _SYSTEM,
            _PROGRAM,
            _seconds("export", "export_s"),
            _kib("program", "program_bytes"),
            _mib("weights", "weights_bytes"),
            _seconds("read", "read_s", 3),
            _seconds("ready", "ready_s"),
            _seconds("ready, not exported", "direct_s"),
            _seconds("first call", "first_call_s"),
            Column("largest difference", "difference", ".1g"),
        ),
    ),
    "compiler": (
        "Options of the compiler (train step)",
        (
            _SYSTEM,
            Column("options", "options", rank=0),
            _seconds("compile", "compile_s"),
            _seconds("step", "step_s", 3),
            Column("share of a step with XLA's defaults", "step_share", ",.2f"),
        ),
    ),
    "op-by-op": (
        "What compiling is worth",
        (
            _SYSTEM,
            _PROGRAM,
            _seconds("ready", "ready_s"),
            _seconds("compiled step", "step_s", 3),
            _seconds("eager step", "eager_s", 3),
            Column("speed-up", "eager_speed_up", ",.1f"),
            Column("paid after", "eager_paid_after"),
            _seconds("op by op", "op_by_op_s", 3),
            Column("speed-up", "op_by_op_speed_up", ",.1f"),
            Column("paid after", "op_by_op_paid_after"),
        ),
    ),
}


@dataclass
class CompileTimes:
    """The parts that a folder has, and what all their programs share."""

    base: dict[str, Any]
    parts: dict[str, Any]

    @classmethod
    def find(cls, folder: Path, base: RunConfig) -> "CompileTimes":
        """Take up the folder's parts of earlier runs, or start anew. Writes nothing but the folder.

        Raises:
            InputError: where the folder cannot be made, or holds a measurement with other settings.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {folder}: cannot be made, expected a folder: {error.strerror}") from None
        new = cls(to_dict(base), {})
        found = read_earlier(folder / "compile_time.json", lambda content: cls(content["base"], {**content["parts"]}))
        if found and found.base != new.base:
            raise InputError(f"--out {folder}: holds a measurement with other settings; choose another folder")
        return found or new

    def add(self, name: str, part: Part, rows: Rows, repeats: int) -> None:
        """Add what was measured of a part, or replace it."""
        flags = {name: value for name, value in sorted(os.environ.items()) if name.startswith(("XLA_", "JAX_"))}
        about = {"environment": environment() | {"flags": flags}, "repeats": repeats}
        self.parts[name] = {**about, "rows": plain(rows), "configs": part.configs}

    def table(self, name: str) -> Table:
        """Return the table of a part."""
        title, columns = TABLES[name]
        return Table(columns, self.parts[name]["rows"], title=title)

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

    def report(self) -> Report:
        """Return compile_time.json, table.md and the plots."""
        names = [name for name in TABLES if name in self.parts]
        content = {"caption": self.caption, "base": self.base, "parts": {name: self.parts[name] for name in names}}
        tables = [self.table(name) for name in names]
        tables[-1] = replace(tables[-1], caption=self.caption)
        pictures = {
            f"compile_{name}.png": partial(draw, self.parts[name]["rows"])
            for name, draw in PICTURES.items()
            if name in names
        }
        return Report("compile_time", content, tables, pictures=pictures)


_MARKERS = ("o", "s", "^", "D", "v", "X")


def _draw(line_of: Callable[[Row], str], x: str, label: str, title: str, all_rows: Sequence[Row]) -> Any:
    """Draw all stages together as lines with their quartiles, and below them, dotted, what is Python's part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(dict.fromkeys(map(line_of, all_rows))):
        rows = sorted((row for row in all_rows if line_of(row) == name), key=lambda row: row[x])
        along = [row[x] for row in rows]
        style: dict[str, Any] = {"color": f"C{number}", "marker": _MARKERS[number % len(_MARKERS)]}
        total = {of: [row["total_s"][of] for row in rows] for of in ("median", "first_quartile", "third_quartile")}
        python = [row["trace_s"]["median"] + row["lower_s"]["median"] for row in rows]
        axes.plot(along, total["median"], label=name, **style)
        axes.fill_between(along, total["first_quartile"], total["third_quartile"], color=f"C{number}", alpha=0.2, lw=0)
        axes.plot(along, python, markersize=3, linestyle=":", label=f"{name}: trace and lower", **style)
    axes.set_xticks(sorted({row[x] for row in all_rows}))
    axes.set_ylim(bottom=0)
    axes.set(xlabel=label, ylabel="trace, lower and compile (s)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure


#: What draws the figures, of the rows of two parts.
PICTURES: dict[str, Callable[[Sequence[Row]], Any]] = {
    "depth": partial(_draw, lambda row: f"blocks {row['blocks']}", "layers", "L_enc", "train step, DWS-CNN"),
    "length": partial(_draw, lambda row: row["system"], "frames", "frames of a sequence", "train step"),
}
