"""What folders hold."""

from pathlib import Path

from madsep_jax.audio import shown
from madsep_jax.errors import InputError


def track_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name; none where it is missing. Raises InputError on a broken link."""
    found = entries(folder) if folder.is_dir() else []
    for path in found:
        if path.is_symlink() and not path.exists():
            raise InputError(f"{shown(path)}: is a broken link, expected a track's folder")
    return [path for path in found if path.is_dir()]


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, without hidden entries."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def listed(paths: list[Path], most: int = 6) -> str:
    """Return the first few names for an error line."""
    names = [shown(path.name) for path in paths[:most]]
    return ", ".join(names) + (f" and {len(paths) - most} more" if len(paths) > most else "") or "nothing"
