"""Tables in a terminal. Oracle: the cells, of the kept results among others, each of which is there whole."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

for package in ("cyclopts", "matplotlib", "soundfile", "tensorboardX", "tensorflow"):
    pytest.importorskip(package)

from experiments.benchmarks.compile_time.report import CompileTimes
from experiments.benchmarks.throughput.report import Timings
from experiments.cli.console import make_console
from experiments.cli.results import Column, Report, Table
from experiments.cli.terminal import FittedTable
from experiments.evaluation.report import evaluation_report
from experiments.rows.report import row_table, show, system_table
from experiments.rows.row import RowResult
from experiments.scoring.protocols import PROTOCOLS
from experiments.scoring.song_scores import SongScores

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
ANSWER = ("system", "SDR (dB)", "SIR (dB)", "SAR (dB)", "masker params", "train step (ms)")
WIDTHS = (24, 40, 80, 100, 200)


def content_of(path):
    return json.loads((RESULTS / path).read_text(encoding="utf-8"))


def rows_of(folder, seeds=1):
    """The kept rows, those of trainings for so many seeds with scores that differ."""
    rows = [RowResult(**row) for row in content_of(f"{folder}/results.json")["rows"]]
    return [row if row.seed is None else dataclasses.replace(row, seed=seed) for row in rows for seed in range(seeds)]


def kept_tables():
    """Of several commands."""
    throughput, compile_time = (
        content_of(path) for path in ("throughput/throughput.json", "compile-time/compile_time.json")
    )
    times = CompileTimes(compile_time["base"], compile_time["parts"])
    found = {
        "quick": row_table(rows_of("quick")),
        "all": row_table(rows_of("all")),
        "seeds": system_table(rows_of("all", seeds=3), spread=["voice_sdr_db"]),
        "throughput": Timings(throughput["results"], {}, throughput["settings"]).table(),
        **{name: times.table(name) for name in compile_time["parts"]},
    }
    return found | {"evaluate": evaluate_table()}


def evaluate_table():
    windows = {metric: np.array([1.25, 11.5]) for metric in ("SDR", "ISR", "SIR", "SAR")}
    taken = {name: f"SONG/{name}.wav" for name in ("vocals", "accompaniment")}
    song = SongScores("a song", 1.0, 1.0, {name: windows for name in taken}, taken=taken)
    return evaluation_report(PROTOCOLS["sisec18"], "1 song", {"htdemucs_ft": [song]}, [], 1.0, {}).tables[0]


def printed(table, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def tables():
    return kept_tables()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut(tables, width):
    for name, table in tables.items():
        fitted = table.terminal(Path("runs/table.md"))
        text = printed(fitted, width)
        lines = text.splitlines()
        assert "…" not in text, name
        assert max(map(len, lines)) <= width, name
        shown = [column for column in fitted.chosen(width) if not column.sentence]
        start = next((number + 1 for number, line in enumerate(lines) if "──" in line), 0)
        for number, line in enumerate(lines[start : start + len(table.rows)] if shown else []):
            expected = " ".join(column.cells[number] for column in shown).split()
            assert line.split()[: len(expected)] == expected, name
        in_it = fitted.chosen(width) or [column for column in fitted.columns if column.rank == 0]
        left_out = [column.title for column in fitted.columns if column not in in_it]
        said = " ".join(text.split())
        assert all(title in said for title in left_out), name
        assert said.endswith("all columns: runs/table.md") == bool(left_out), name


@pytest.mark.parametrize("name", ["quick", "all", "seeds"])
def test_80_columns_answer_the_question(tables, name):
    titles = [column.title for column in tables[name].terminal().chosen(80)]
    assert set(ANSWER) <= set(titles)
    wide = [column.title for column in tables[name].terminal().chosen(200)]
    assert set(titles) < set(wide)
    assert len(wide) >= len(tables[name].columns) - 1  # the status may stay out


def test_what_does_not_fit_becomes_blocks(tables):
    text = printed(tables["seeds"].terminal(Path("runs/table.md")), 30)
    blocks = text.split("mad\n")[1].splitlines()
    assert blocks[0] == "  SDR (dB): 2.19 ± 0.00"
    assert blocks[3] == "  masker params: 1,441,269"


def test_long_sentences_break_between_words():
    table = Table(
        [Column("system", "system", word=True), Column("status", "status", word=True, sentence=True)],
        [{"system": "mad", "status": "failed: the loss is nan at step 3 of the training"}],
    )
    text = printed(table.terminal(), 30)
    assert " ".join(line[8:].strip() for line in text.splitlines()[2:]) == table.rows[0]["status"]
    assert printed(table.terminal(), 200).count("\n") == 3


def test_names_are_not_markup_and_totals_stand_below():
    table = FittedTable.of_lines(("name", "size"), [["[red]x[/red]", "1"], ["all", "1"]], "Sizes [GB].")
    assert printed(table, 80).split() == ["name", "size", "─" * 18, "[red]x[/red]", "1", "all", "1", "Sizes", "[GB]."]


def test_a_command_without_a_terminal_takes_the_width_that_it_is_told(monkeypatch, capsys, tmp_path):
    table = row_table(rows_of("all"), "A caption.")
    for columns, expected in ((None, 170), ("80", 80), ("100", 100)):
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns:
            monkeypatch.setenv("COLUMNS", columns)
        Report("results", {}, [table]).finish(make_console(), tmp_path)
        out = capsys.readouterr().out
        assert "…" not in out
        assert "A caption." in out
        assert all(title in out for title in ("params", "train", "mad", "2.19", "1,441,269", "12.0"))
        longest = max(len(line.rstrip()) for line in out.splitlines() if not line.startswith("Results: "))
        assert expected - 40 < longest <= expected


def test_failed_rows_say_why(monkeypatch, tmp_path):
    rows = [*rows_of("quick"), RowResult(system="dae", seed=0, status="failed: loss is nan at step 3")]
    monkeypatch.setattr("experiments.rows.report.caption", lambda plan, results: "The caption.")
    console = Console(file=io.StringIO(), width=80)
    show(console, type("Plan", (), {"out": tmp_path, "baseline": None})(), rows)
    text = console.file.getvalue()
    assert "dae, seed 0: failed: loss is nan at step 3\n" in text
    assert text.rstrip().endswith("The caption.")
