"""What the measurement leaves in its folder, rewritten after each part."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from experiments.compiling.plots import plot_depth, plot_lengths
from experiments.compiling.tables import TABLES, markdown_table
from madsep_jax.config import RunConfig
from madsep_jax.config_io import to_dict
from madsep_jax.environment import describe_machine, environment
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json, write_text

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
        tables = [markdown_table(name, part["rows"]) for name, part in found.items()]
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
