"""How far the rows of an experiment are: one view that is kept up to date in a terminal; elsewhere a line a row."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from experiments.cli.console import say
from experiments.cli.signals import keeps
from experiments.cli.terminal import FittedTable, ShownColumn
from experiments.rows.estimate import duration
from experiments.rows.folder import RowState, row_groups
from experiments.rows.plan import Plan
from experiments.rows.progress import Progress, progress_of
from experiments.rows.row import PlannedRow, RowResult

_COLOURS = {"finished": "green", "failed": "red", "ended": "red", "training": "yellow", "scoring": "yellow"}
_RUNNING = ("training", "scoring", "running")
_BAR = 12

#: How often a line says how far a row is where there is no terminal.
_LINE_EVERY_S = 300.0

#: Lines of a terminal beside those of rows: head, rule, and the two of the whole run.
_OTHER_LINES = 5


@dataclass(frozen=True)
class _Shown:
    """What is known of a row."""

    state: str = "waits"
    runs_in: str = ""
    progress: Progress | None = None
    result: RowResult | None = None
    trained_s: float | None = None
    """What its training took, once it is scored."""


class Work:
    """The training, or the scoring, of some rows in this process."""

    def __init__(self, view: "LiveRows", rows: Sequence[PlannedRow], progress: Progress) -> None:
        self._view, self._rows, self._progress = view, rows, progress
        self._begin: tuple[float, int] | None = None
        self._line = time.monotonic()

    def advance_to(self, done: int, loss: float | None = None) -> None:
        """Say that so many steps, or songs, are done; of several seeds the average loss."""
        now, scores = time.monotonic(), self._progress.stage == "scoring"
        if scores and done:  # of a training the line that ends it tells
            keeps()
        if self._begin is None:
            self._begin = now, done - scores  # the first step compiles, and may be one of many
        seconds, parts = now - self._begin[0], done - self._begin[1]
        each_s = seconds / parts if parts > 0 else None
        self._progress = replace(self._progress, done=done, loss=loss, each_s=each_s)
        self._view.note(self._rows, self._progress)
        if not self._view.console.is_terminal and now - self._line > _LINE_EVERY_S:
            self._line = now
            say(self._view.console, f"{self._rows[0].folder_name}: {self._progress.line()}")

    def advance(self, *_: object) -> None:
        """Say that one more is done."""
        self.advance_to(self._progress.done + 1)


@dataclass
class LiveRows:
    """The view of all rows of a plan."""

    console: Console
    plan: Plan
    together: bool = False
    """Whether the seeds of a system are trained in one program."""
    _rows: dict[str, _Shown] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> "LiveRows":
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self.view, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @contextmanager
    def work(self, rows: Sequence[PlannedRow], stage: str, total: int) -> Iterator[Work]:
        """Show that this process trains or scores some rows, in so many steps or songs."""
        progress = Progress(stage, 0, total)
        self.note(rows, progress)
        yield Work(self, rows, progress)

    def note(self, rows: Sequence[PlannedRow], progress: Progress) -> None:
        """Take down how far some rows are."""
        for row in rows:
            before = self._rows.get(row.folder_name, _Shown())
            trained_s = before.trained_s
            if before.progress and before.progress.stage == "training":
                trained_s = before.progress.whole_s
            self._rows[row.folder_name] = _Shown(progress.stage, progress=progress, trained_s=trained_s)

    def finished(self, row: PlannedRow, result: RowResult) -> None:
        """Take down that a row has failed, which has been said, or is finished; where no terminal is, say that."""
        self._rows[row.folder_name] = _of_result(result)
        if not self.console.is_terminal and not result.failed:
            left = f"; {self._left()}" if self._left() else ""
            say(self.console, f"{row.folder_name}: {_outcome(result)}{left}")

    def show(self, states: Mapping[str, RowState], *, said: bool = True) -> None:
        """Take down the states of all rows, which jobs run; where there is no terminal, changes are said."""
        for row in self.plan.rows:
            state, before = states[row.folder_name], self._rows.get(row.folder_name, _Shown())
            now = _of_state(state, progress_of(row, self.plan) if state.kind == "running" else None)
            self._rows[row.folder_name] = now
            if said and not self.console.is_terminal and _word(now) != _word(before):
                say(self.console, f"{row.folder_name}: {_outcome(now.result) if now.result else _word(now)}")
        if self._live:
            self._live.refresh()

    def view(self) -> RenderableType:
        """Return the rows, as many as the terminal is high, those that run before others, and the state of the run."""
        names = [row.folder_name for row in self.plan.rows]
        found = {name: self._rows.get(name, _Shown()) for name in names}
        now = [number for number, name in enumerate(names) if found[name].state in _RUNNING] or [len(names)]
        nearest = sorted(range(len(names)), key=lambda number: min(abs(number - one) for one in now))
        there = sorted(nearest[: max(self.console.height - _OTHER_LINES, 3)])
        shown = {names[number]: found[names[number]] for number in there}
        rows = list(shown.values())
        columns = [
            ShownColumn("row", list(shown), word=True),
            ShownColumn("state", [f"{_word(row):8}" for row in rows], word=True),
            ShownColumn("done", [f"{row.progress.count() if row.progress else '':>9}" for row in rows]),
            ShownColumn("left", [f"{_duration(row.progress):>6}" for row in rows], rank=1),
            ShownColumn("loss", [f"{_loss(row.progress):>7}" for row in rows], rank=2),
            ShownColumn("", [self._bar(row) for row in rows], rank=3, word=True),
        ]
        colours = {number: _COLOURS.get(row.state, "") for number, row in enumerate(rows)}
        return Group(FittedTable(columns, styles=colours, whole=None), self._summary())

    def _summary(self) -> Text:
        states = [self._rows.get(row.folder_name, _Shown()).state for row in self.plan.rows]
        counts = {word: states.count(word) for word in dict.fromkeys(["finished", *sorted(set(states))])}
        parts = [f"{count} {word}" for word, count in counts.items() if count or word == "finished"]
        return Text(f"\n{len(states)} rows: {', '.join([*parts, *filter(None, [self._left()])])}", overflow="fold")

    def _bar(self, row: _Shown) -> Text:
        if row.result:
            return Text("" if row.result.failed else _sdr(row.result))
        if row.progress is None:
            return Text("")
        filled = round(_BAR * row.progress.done / max(row.progress.total, 1))
        full, rest = ("=", "-") if self.console.options.ascii_only else ("━", "━")
        return Text.assemble((full * filled, "green"), (rest * (_BAR - filled), "bright_black"))

    def _left(self) -> str:
        seconds = self._left_s()
        return f"about {duration(seconds)} left" if seconds else ""

    def _left_s(self) -> float | None:
        """Estimate the time for all that is left, from what is known of each system, else of the others."""
        left_s, longest_s, running = 0.0, 0.0, 0
        for group in row_groups(self.plan.rows, self.together):
            rows = [(row, self._rows.get(row.folder_name, _Shown())) for row in group]
            of_group_s, is_trained = 0.0, False
            for row, shown in rows:
                if shown.result or shown.state == "ended":
                    continue
                progress = shown.progress or Progress("", 0, 0)
                if row.config and progress.stage != "scoring" and not is_trained:  # seeds of a program train at once
                    is_trained = True
                    training_s = progress.left_s if progress.stage == "training" else self._known_s("training", row)
                    if training_s is None:
                        return None
                    of_group_s += training_s
                scoring_s = progress.left_s if progress.stage == "scoring" else None
                of_group_s += scoring_s or self._known_s("scoring", row) or 0.0
            left_s, running = left_s + of_group_s, running + any(shown.state in _RUNNING for _, shown in rows)
            longest_s = max(longest_s, of_group_s)
        return max(left_s / max(running, 1), longest_s)

    def _known_s(self, stage: str, row: PlannedRow) -> float | None:
        """Return the seconds that a stage of a row took, or will: the average of its system, or else of all."""
        known: dict[str, list[float]] = {}
        for other in self.plan.rows:
            shown = self._rows.get(other.folder_name, _Shown())
            if stage == "training" and shown.trained_s is not None:
                seconds: float | None = shown.trained_s
            elif shown.result:
                seconds = shown.result.train_s if stage == "training" else shown.result.score_s
            else:
                seconds = shown.progress.whole_s if shown.progress and shown.progress.stage == stage else None
            if seconds is not None:
                known.setdefault(other.system, []).append(seconds)
        if not known:
            return None
        return statistics.fmean(known.get(row.system) or [one for of_system in known.values() for one in of_system])


def _of_result(result: RowResult) -> _Shown:
    return _Shown("failed" if result.failed else "finished", result=result)


def _of_state(state: RowState, progress: Progress | None) -> _Shown:
    if state.kind == "finished" and state.result:
        return _of_result(state.result)
    if state.kind == "running" and progress:
        return _Shown(progress.stage, state.runs_in, progress)
    return _Shown("waits" if state.kind == "new" else state.kind, state.runs_in)


def _word(row: _Shown) -> str:
    return f"{row.state} ({row.runs_in})" if row.runs_in else row.state


def _outcome(result: RowResult) -> str:
    took = [f"{what} in {duration(s)}" for what, s in (("trained", result.train_s), ("scored", result.score_s)) if s]
    return result.status if result.failed else ", ".join(filter(None, [_sdr(result) or "finished", *took]))


def _sdr(result: RowResult) -> str:
    sdr_db = result.median_db("SDR")
    return "" if sdr_db is None else f"SDR {sdr_db:.2f} dB"


def _loss(progress: Progress | None) -> str:
    return "" if progress is None or progress.loss is None else f"{progress.loss:.4g}"


def _duration(progress: Progress | None) -> str:
    return "" if progress is None or progress.left_s is None else duration(progress.left_s)
