"""The folder of one experiment: what it holds the results of, and its finished rows."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.rows import Row, RowResult
from madsep_jax.config import RunConfig
from madsep_jax.config_io import to_dict
from madsep_jax.environment import environment
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json

_IDENTITY = "experiment.json"


@dataclass(frozen=True)
class ExperimentFolder:
    """Rows of the same base and the same songs; rows can be added at any time."""

    path: Path

    @classmethod
    def open(cls, path: Path, base: RunConfig, data: str) -> "ExperimentFolder":
        """Open a folder for an experiment, or make it.

        Args:
            path: the folder.
            base: what all rows share; the masker and the seed, which make the rows differ, do not count.
            data: fingerprint of the songs.

        Raises:
            InputError: where the folder holds something else, and what differs.
        """
        identity = {"data": data, **_flat(to_dict(base))}
        for field in [name for name in identity if name.startswith("masker.") or name == "training.seed"]:
            del identity[field]
        if path.exists() and not path.is_dir():
            raise InputError(f"--out {path}: found a file, expected a folder")
        if (path / _IDENTITY).is_file():
            _check_same(path, read_json(path / _IDENTITY).get("identity"), identity)
        elif path.is_dir() and any(path.iterdir()):
            raise InputError(f"--out {path}: found other files, expected an empty folder or one of this experiment")
        else:
            write_json(path / _IDENTITY, {"identity": identity, "environment": environment()})
        return cls(path)

    def finished(self, row: Row) -> RowResult | None:
        """Return the result of a row that is finished, a failed one included."""
        path = row.folder(self.path) / "row.json"
        if not path.is_file():
            return None
        result = RowResult(**read_json(path))
        if result.config != (to_dict(row.config) if row.config else None):
            raise InputError(f"{path}: is of another configuration than this row's; choose another --out")
        return result

    def finish(self, row: Row, result: RowResult) -> None:
        """Keep the result of a row."""
        write_json(row.folder(self.path) / "row.json", dataclasses.asdict(result))


def _check_same(path: Path, found: Any, expected: dict[str, Any]) -> None:
    if not isinstance(found, dict):
        raise InputError(f"{path / _IDENTITY}: is damaged, expected what this command wrote")
    names = sorted(set(found) | set(expected))
    different = [name for name in names if found.get(name) != expected.get(name)]
    if different:
        first = different[0]
        shown = "other songs" if first == "data" else f"{first} {found.get(first)!r}, expected {expected.get(first)!r}"
        more = f" (and {len(different) - 1} more differences)" if len(different) > 1 else ""
        raise InputError(f"--out {path}: holds another experiment, with {shown}{more}; choose another folder")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
