"""What a command says while it works: the device first, then progress, as bars in a terminal or lines elsewhere."""

import os
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.cli.options import option_class
from experiments.cli.parser import Parameter
from experiments.cli.signals import keeps
from madsep_jax.errors import InputError
from madsep_jax.host.environment import describe_device, environment

_LINE_EVERY_S = 30.0

#: Of lines that go into a file or a pipe.
_WIDTH = 170

Thing = TypeVar("Thing")


def make_console(quiet: bool = False) -> Console:
    """Return the console of a command, of the width of the terminal; elsewhere of the variable COLUMNS, or wide."""
    console = Console(highlight=False, quiet=quiet)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, width=_WIDTH, quiet=quiet)


def say(console: Console, line: str) -> None:
    """Print a line as it is, whatever brackets a path in it has."""
    console.print(line, markup=False, soft_wrap=True)


class Bar:
    """One piece of work with a known number of parts."""

    def __init__(self, console: Console, title: str, total: int, kept: bool = False) -> None:
        """Show nothing yet. Of work that is `kept`, a command that is started again does what is not yet done."""
        self._kept = kept
        self._console, self._title, self._total, self._done = console, title, total, 0
        self._start = self._last_line = time.monotonic()
        about, text = TextColumn("{task.description}"), TextColumn("{task.fields[text]}")
        columns = (about, BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn(), text)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(title, total=total, text="")

    def advance_to(self, done: int, text: str = "") -> None:
        """Say that so many parts are done."""
        if self._kept and done:
            keeps()
        self._done = done
        self._progress.update(self._task, completed=done, text=text)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line > _LINE_EVERY_S:
            self._last_line = now
            left = (now - self._start) / max(done, 1) * (self._total - done)
            say(self._console, f"{self._title} {done}/{self._total} {text} {left:.0f} s left")

    def advance(self, *_: object) -> None:
        """Say that one more part is done."""
        self.advance_to(self._done + 1)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def tracked(console: Console, title: str, things: Collection[Thing]) -> Iterator[Thing]:
    """Yield things one by one; a bar says how many have been dealt with."""
    with Bar(console, title, len(things)) as bar:
        for thing in things:
            yield thing
            bar.advance()


@option_class
class DeviceOptions:
    """What the device must be."""

    require_accelerator: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """End with exit code 2, before anything is done, where JAX finds no GPU or TPU."""


#: For commands that nothing is asked of.
ANY_DEVICE = DeviceOptions()


def show_device(console: Console, options: DeviceOptions, found: Mapping[str, Any] | None = None) -> None:
    """Print backend, kind and number of devices in one line.

    To be called once the options are known to be right and, where processes train together, once they have joined:
    it starts the backend. Where others than this process compute, `found` is what `environment` returned there.
    Raises InputError where an accelerator is asked for and there is none.
    """
    found = found or environment()
    say(console, describe_device(found))
    if options.require_accelerator and found["backend"] == "cpu":
        raise InputError("--require-accelerator: found the CPU alone, expected a GPU or TPU, and a JAX that can use it")
