"""Pictures that are there whole or not at all."""

from pathlib import Path
from typing import Any


def save_figure(figure: Any, path: Path) -> Path:
    """Write a Matplotlib figure aside, then rename it into place; returns its path."""
    aside = path.with_name(f".{path.stem}.partial.png")
    figure.savefig(aside, dpi=150)
    aside.replace(path)
    return path
