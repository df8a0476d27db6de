"""Tables for a terminal of any width: columns are left out where there is no room; what is shown is never cut."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rich import box, table
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

#: Between columns.
_GAP = 2

#: A title has at most so many lines; sentences are no narrower than this.
_TITLE_LINES, _SENTENCE = 2, 18


@dataclass(frozen=True)
class ShownColumn:
    """A column of a table in a terminal."""

    title: str
    cells: Sequence[str | Text]
    rank: int = 0
    """0: always shown. The others are shown where there is room, those of lower rank first, then from the left."""
    word: bool = False
    """It stands on the left, as words do."""
    sentence: bool = False
    """Its cells may be broken between words."""

    @cached_property
    def narrowest(self) -> int:
        """The width that its cells, and its title in a few lines, need."""
        lengths = [cell_len(str(cell)) for cell in self.cells]
        if self.sentence:
            words = [cell_len(word) for cell in self.cells for word in str(cell).split()]
            lengths = [*words, min(_SENTENCE, max(lengths, default=0))]
        widths = range(max(map(len, self.title.split()), default=1), len(self.title) + 1)
        title = next((one for one in widths if len(textwrap.wrap(self.title, one)) <= _TITLE_LINES), 0)
        return max([title, *lengths])

    @cached_property
    def widest(self) -> int:
        """The width that nothing is broken at."""
        return max([len(self.title), *(cell_len(str(cell)) for cell in self.cells)])


@dataclass(frozen=True)
class FittedTable:
    """A table that Rich shows in the width that there is; where even the first columns do not fit, a block a row."""

    columns: Sequence[ShownColumn]
    title: str | None = None
    styles: Mapping[int, str] = field(default_factory=dict)
    """Of lines, by their numbers."""
    whole: str | None = ""
    """The file that has all columns; None: what is left out is not said."""
    caption: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield what Rich is to show."""
        shown = self.chosen(options.max_width)
        if self.title:
            yield Text(self.title, style="bold")
        yield from [self._table(shown, options.max_width)] if shown else self._blocks()
        in_it = [id(column) for column in shown or self._first]
        left_out = [column.title for column in self.columns if id(column) not in in_it]
        if left_out and self.whole is not None:
            where = f"; all columns: {self.whole}" if self.whole else ""
            yield Text(f"Not shown for lack of room: {', '.join(left_out)}{where}", style="dim", overflow="fold")
        if self.caption:
            yield Text(f"\n{self.caption}", overflow="fold")

    @classmethod
    def of_lines(
        cls, titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str, *optional: str
    ) -> "FittedTable":
        """Return a table of lines whose first cells name them, and the last of which is their sum.

        Columns of these titles are `optional`.
        """
        cells = zip(titles, zip(*lines, strict=True), strict=True)
        columns = [
            ShownColumn(title, of_column, int(title in optional), word=title == titles[0]) for title, of_column in cells
        ]
        return cls(columns, styles={len(lines) - 1: "bold"} if len(lines) > 1 else {}, caption=caption)

    def chosen(self, width: int) -> list[ShownColumn]:
        """Return the columns that are shown, in their order; none where those that are always shown do not fit."""
        chosen = self._first
        if _width(chosen) > width:
            return []
        for column in sorted(self.columns, key=lambda column: column.rank)[len(chosen) :]:
            if _width([*chosen, column]) <= width:
                chosen.append(column)
        in_it = [id(column) for column in chosen]
        return [column for column in self.columns if id(column) in in_it]

    @property
    def _first(self) -> list[ShownColumn]:
        return [column for column in self.columns if not column.rank]

    def _table(self, columns: Sequence[ShownColumn], width: int) -> table.Table:
        look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
        found, spare = table.Table(header_style="bold", **look), width - _width(columns)
        for column in columns:
            more = column.widest - column.narrowest
            more = min(more, spare) if column.sentence else more if more <= spare else 0
            spare -= more
            side: Any = "left" if column.word else "right"
            found.add_column(column.title, justify=side, width=column.narrowest + more, overflow="fold")
        for number, line in enumerate(zip(*(column.cells for column in columns), strict=True)):
            found.add_row(*(Text.assemble(cell) for cell in line), style=self.styles.get(number))
        return found

    def _blocks(self) -> Iterator[Text]:
        first, *others = self._first
        for number, name in enumerate(first.cells):
            style = self.styles.get(number, "")
            yield Text.assemble(name, style=f"bold {style}".strip(), overflow="fold")
            for column in others:
                yield Text.assemble(f"  {column.title}: ", column.cells[number], style=style, overflow="fold")


def _width(columns: Sequence[ShownColumn]) -> int:
    return sum(column.narrowest for column in columns) + _GAP * (len(columns) - 1)
