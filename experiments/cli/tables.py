"""Tables of texts, for markdown and for a terminal; pictures that are there whole or not at all."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from tabulate import tabulate

from madsep_jax.host.files import written_aside


def markdown_table(titles: Sequence[str], cells: Sequence[Sequence[object]], words: Collection[str] = ()) -> str:
    """Return a table in markdown, without a line break at its end.

    Args:
        titles: of the columns.
        cells: line by line, as they are to be shown.
        words: titles of the columns that stand on the left as words do; none: the first column. Others are numbers.
    """
    align = ["left" if left else "right" for left in _on_the_left(titles, words)]
    return tabulate(cells, list(titles), tablefmt="github", colalign=align, disable_numparse=True)


def terminal_table(
    titles: Sequence[str],
    cells: Sequence[Sequence[str]],
    words: Collection[str] = (),
    *,
    title: str | None = None,
    failed: Collection[int] = (),
) -> Table:
    """Return a table for a terminal; see `markdown_table`. The lines whose numbers are in `failed` are red."""
    table = Table(header_style="bold", title=title, title_justify="left")
    for name, left in zip(titles, _on_the_left(titles, words), strict=True):
        table.add_column(name, justify="left" if left else "right")
    for number, line in enumerate(cells):
        table.add_row(*line, style="red" if number in failed else None)
    return table


def _on_the_left(titles: Sequence[str], words: Collection[str]) -> list[bool]:
    return [title in words if words else number == 0 for number, title in enumerate(titles)]


def save_figure(figure: Any, path: Path) -> Path:
    """Write a Matplotlib figure aside, then rename it into place; returns its path."""
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=150, format=path.suffix.removeprefix("."))
    return path
