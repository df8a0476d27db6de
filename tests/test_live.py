"""The view of an ablation's rows: what it says of rows and the time left, in terminals of any size, and of Ctrl-C."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX", "tensorflow"):
    pytest.importorskip(package)

from rich.console import Console
from tiny_songs import make_songs

from experiments.rows import live
from experiments.rows.live import LiveRows
from experiments.rows.options import AblationOptions, RunOptions
from experiments.rows.plan import make_plan
from experiments.rows.row import RowResult


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture
def plan(tmp_path, songs):
    more = {"data": str(songs), "out": tmp_path / "out", "set": ("signal.sample_rate=8000",)}
    return make_plan(AblationOptions(systems=("mad", "dws-1-4"), seeds=3, run=RunOptions(batch=1), **more))


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(live, "time", found)
    return found


def result(row, **times):
    scores = {"targets": {"vocals": {"median_db": {"SDR": 3.456}}}}
    return RowResult(system=row.system, seed=row.seed, scores=scores, **times)


def drawn(view, width, height=40):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    view.console = console
    console.print(view.view())
    return console.file.getvalue()


def half_way(plan, clock, console=None, together=False):
    """The references are finished, in 4 s, and the first system half way: 5 s of steps of 0.1 s."""
    view = LiveRows(console or Console(file=io.StringIO(), width=80), plan, together)
    for row in plan.rows[:2]:
        view.finished(row, result(row, score_s=4.0))
    with view.work(plan.rows[2:5] if together else plan.rows[2:3], "training", 100) as work:
        work.advance_to(1, 0.5)
        clock.now += 5.0
        work.advance_to(51, 0.25)
    return view


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_all_rows_are_there_and_nothing_is_cut(plan, clock, width):
    text = drawn(half_way(plan, clock), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    (line,) = [line.split() for line in text.splitlines() if line.startswith("mad-seed0")]
    assert line[:3] == ["mad-seed0", "training", "51/100"]
    if width >= 80:
        assert line[3:6] == ["5", "s", "0.25"]  # 49 steps of 0.1 s
        assert "SDR 3.46 dB" in text
    assert all(row.folder_name in text for row in plan.rows)
    assert "8 rows: 2 finished, 1 training, 5 waits" in " ".join(text.split())


def test_the_time_left_is_that_of_all_rows(plan, clock):
    """By hand: 4.9 s and five times 10 s of training, six times 4 s of scoring; together 4.9 and 10 and 24."""
    assert half_way(plan, clock)._left_s() == pytest.approx(4.9 + 5 * 10 + 6 * 4)
    assert half_way(plan, clock, together=True)._left_s() == pytest.approx(4.9 + 10 + 6 * 4)
    nothing = LiveRows(Console(file=io.StringIO()), plan)
    assert nothing._left_s() is None


def test_of_more_rows_than_lines_those_that_run_are_seen(plan, clock):
    view = half_way(plan, clock)
    with view.work(plan.rows[6:7], "scoring", 2) as work:
        work.advance()
    text = drawn(view, 80, height=8)
    assert len(text.splitlines()) <= 8
    assert "mad-seed0" in text
    assert "dws-1-4-seed1" in text
    assert "mixture" not in text


def test_without_a_terminal_a_row_is_a_line(plan, clock):
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    view = half_way(plan, clock, console)
    view.finished(plan.rows[2], result(plan.rows[2], train_s=10.0, score_s=2.0))
    assert console.file.getvalue().splitlines() == [
        "mixture: SDR 3.46 dB, scored in 4 s",
        "ideal-ratio-mask: SDR 3.46 dB, scored in 4 s",
        "mad-seed0: SDR 3.46 dB, trained in 10 s, scored in 2 s; about 64 s left",
    ]  # five times 10 s of training, five of scoring: 2 s of mad's two rows, 10 / 3 s of the others


COMMAND = ["--systems", "mad", "--batch", "2", "--processes", "1", "--set", "signal.sample_rate=8000"]
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
SIGNAL = ["signal.window_length=257", "signal.hop_length=48", "signal.fft_length=512"]


@pytest.mark.thorough
def test_ctrl_c_leaves_the_terminal_whole(songs, tmp_path):
    """In a terminal of 80 columns, while it trains: the view is gone, the cursor is back, and a line says what next."""
    places = ["--data", str(songs), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "experiments.ablation", *places, "--steps", "100000", *COMMAND, *SIGNAL]
    terminal, inner = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *command],
        **dict.fromkeys(("stdin", "stdout", "stderr"), inner),
        start_new_session=True,
        env=environment,
    )
    os.close(inner)
    text, interrupted, until = "", False, time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                text += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # its other end is closed
                break
        if not interrupted and re.search(r"mad-seed0 .*[1-9]\d*/100000", text):
            os.write(terminal, b"\x03")
            interrupted = True
    os.close(terminal)
    assert process.wait(10) == 130
    assert interrupted
    assert "…" not in text
    assert "Traceback" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # shown after it was hidden
    assert "start the same command again to continue" in text.splitlines()[-1]
