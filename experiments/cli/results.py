"""What a command leaves in its folder: its numbers as JSON, tables of them with their captions, and pictures."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from experiments.cli.console import say
from experiments.cli.terminal import FittedTable, ShownColumn
from madsep_jax.errors import InputError, shown
from madsep_jax.host.environment import environment
from madsep_jax.host.files import clear_leftovers, read_json, write_json, write_text, written_aside

#: One line of a table: the same as in the JSON file.
Row = Mapping[str, Any]

Content = TypeVar("Content")


@dataclass(frozen=True)
class Column:
    """One column of a table: its title, which of a row's values it shows, and how."""

    title: str
    value: str | Callable[[Row], Any]
    """The value's name in the row, or a function of the row."""
    form: str = ""
    """As `format` takes it."""
    factor: float = 1
    """What a number is multiplied by before."""
    most: float | None = None
    """A number above it is shown as just that."""
    word: bool = False
    """It stands on the left, as words do."""
    rank: int | None = None
    """In a terminal: 0 is always shown, the others where there is room, those of lower rank first, then from the left.
    None: 0 of words, 1 of numbers."""
    sentence: bool = False
    """In a terminal it may be broken between words."""

    def found(self, row: Row) -> Any:
        """Return the value with all its digits; of a repeated measurement the median, None for what is not known."""
        value = self.value(row) if callable(self.value) else row[self.value]
        if isinstance(value, Mapping):
            value = value["median"]
        return value if value is None or self.factor == 1 else value * self.factor

    @property
    def in_terminal(self) -> int:
        """Return its rank there."""
        return (0 if self.word else 1) if self.rank is None else self.rank

    def cell(self, row: Row) -> str:
        """Return the text; of what is not known a dash."""
        value = self.found(row)
        if value is None:
            return "–"
        return format(value, self.form) if self.most is None or value <= self.most else f">{self.most:g}"


@dataclass(frozen=True)
class Table:
    """Rows, the columns that are shown of them, and what a reader must know."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    title: str | None = None
    lead: str | None = None
    """Stands in markdown in the title's place."""

    def markdown(self) -> str:
        """Return it in markdown, the title above and the caption below, without a line break at its end."""
        lead = self.lead or (f"### {self.title}" if self.title else "")
        titles = [column.title for column in self.columns]
        cells = [[cell.strip() for cell in line] for line in self._cells(self.columns)]
        widths = [max([len(title) + 2, *map(len, column)]) for title, *column in zip(titles, *cells, strict=True)]
        to_left = [column.word for column in self.columns]

        def padded(line: Sequence[str]) -> str:
            filled = zip(line, widths, to_left, strict=True)
            return " | ".join(cell.ljust(width) if left else cell.rjust(width) for cell, width, left in filled)

        lines = [padded(line) for line in [titles, *cells]]
        rule = "|".join("-" * (width + 2) for width in widths)
        table = "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])
        return "\n\n".join(filter(None, [lead, table, self.caption]))

    def terminal(self, whole: Path | None = None, failed: Collection[int] = ()) -> FittedTable:
        """Return it for a terminal, without its caption; the lines whose numbers are in `failed` are red.

        Columns for which there is no room are left out: a line names them, and the file `whole` that has them.
        """
        cells = zip(*self._cells(self.columns), strict=True) if self.rows else [[] for _ in self.columns]
        columns = [
            ShownColumn(column.title, of_column, column.in_terminal, column.word, column.sentence)
            for column, of_column in zip(self.columns, map(list, cells), strict=True)
        ]
        where = shown(whole) if whole else ""
        return FittedTable(columns, self.title, dict.fromkeys(failed, "red"), where)

    def _cells(self, columns: Sequence[Column]) -> list[list[str]]:
        return [[column.cell(row) for column in columns] for row in self.rows]


@dataclass(frozen=True)
class Report:
    """All that a command has found so far, and how it tells."""

    name: str
    """The command's, and that of its JSON file."""
    content: Mapping[str, Any]
    """Of the JSON file."""
    tables: Sequence[Table]
    texts: Mapping[str, str] = field(default_factory=dict)
    """Further files, by their names."""
    pictures: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    """By their files' names; each makes a Matplotlib figure, or None where there is nothing to draw."""

    def markdown(self) -> str:
        """Return the tables in markdown."""
        return "\n\n".join(table.markdown() for table in self.tables) + "\n"

    def write(self, folder: Path) -> None:
        """Write everything, each file whole or not at all: NAME.json, table.md, further texts and pictures.

        What killed processes have left aside in the folder goes.
        """
        clear_leftovers(folder)
        write_json(folder / f"{self.name}.json", plain(self.content))
        tables = {"table.md": self.markdown()} if self.tables else {}
        for name, text in {**tables, **self.texts}.items():
            write_text(folder / name, text)
        for name, draw in self.pictures.items():
            if (figure := draw()) is not None:
                save_figure(figure, folder / name)

    def finish(self, console: Console, folder: Path) -> None:
        """Write everything, and print the tables, and where everything is."""
        self.write(folder)
        self.show_tables(console, folder)
        self.show_files(console, folder)

    def show_tables(self, console: Console, folder: Path) -> None:
        """Print the tables with what leads to them and their captions, each in the width that there is."""
        for table in self.tables:
            if table.lead:
                say(console, f"{table.lead}\n")
            console.print(table.terminal(folder / "table.md"))
            console.print(f"\n{table.caption}\n" if table.caption else "", markup=False)

    def show_files(self, console: Console, folder: Path) -> None:
        """Print where everything is."""
        pictures = self.pictures if len(self.pictures) < 2 else ["plots"]
        show_results(console, folder, f"{self.name}.json", "table.md", *self.texts, *pictures)


def show_results(console: Console, folder: Path, *files: str) -> None:
    """Print where the results are."""
    say(console, f"Results: {shown(folder)}/ ({', '.join(files)})")


def made_with(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a JSON file says of how it came about: this process's environment, and what was asked for."""
    return {"environment": environment(), "settings": dict(settings)}


def plain(value: Any) -> Any:
    """Return a value, and what is in it, with mappings in the place of dataclasses."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def read_earlier(path: Path, read: Callable[[Any], Content], remedy: str = "choose another folder") -> Content | None:
    """Return what `read` takes from the JSON file of an earlier run; None where there is no such file.

    Raises:
        InputError: where the file is damaged, or `read` does not find in it what it looks for; with what to do then.
    """
    if not path.is_file():
        return None
    try:
        return read(read_json(path))
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: is damaged, or of another version; {remedy}") from None


def read_as(kind: Callable[..., Content], path: Path, remedy: str) -> Content | None:
    """Return the dataclass that a JSON file holds the fields of, as `read_earlier` does."""
    return read_earlier(path, lambda content: kind(**content), remedy)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a Matplotlib figure aside, then rename it into place; returns its path."""
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=150, format=path.suffix.removeprefix("."))
    return path
