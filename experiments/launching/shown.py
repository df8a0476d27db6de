"""What a launcher shows while it waits: a line for each row."""

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from experiments.launching.row_state import RowState, how_far
from experiments.plan import Plan
from experiments.progress import say
from experiments.rows import Row

_COLOURS = {"finished": "green", "running": "yellow", "ended": "red"}


class ShownRows:
    """A table that is kept up to date in a terminal; elsewhere a line whenever the state of a row changes."""

    def __init__(self, console: Console, plan: Plan) -> None:
        """Show nothing yet."""
        self._console, self._plan = console, plan
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._said: dict[str, str] = {}

    def show(self, states: Mapping[str, RowState]) -> None:
        """Show the states, by the names of the rows' folders."""
        table = Table("row", "state", "", header_style="bold")
        for row in self._plan.rows:
            state = states[row.folder_name]
            word = _word(state)
            if self._console.is_terminal:
                table.add_row(row.folder_name, word, self._detail(row, state), style=_COLOURS.get(state.kind))
            elif self._said.get(row.folder_name) != word and state.kind != "new":
                say(self._console, f"{row.folder_name}: {word}")
            self._said[row.folder_name] = word
        if self._console.is_terminal:
            self._live.update(table, refresh=True)

    def _detail(self, row: Row, state: RowState) -> str:
        if state.kind == "finished" and state.result and (sdr_db := state.result.median_db("SDR")) is not None:
            return f"SDR {sdr_db:.2f} dB"
        return how_far(row, self._plan) if state.kind == "running" else ""

    def __enter__(self) -> "ShownRows":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def _word(state: RowState) -> str:
    if state.kind == "finished" and state.result and state.result.failed:
        return state.result.status
    if state.kind == "new":
        return "waits for its turn"
    return f"{state.kind} ({state.runs_in})" if state.runs_in else state.kind
