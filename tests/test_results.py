"""What the benchmarks leave in their folders. Oracle: the kept results, whose tables come from their own JSON files."""

import json
from pathlib import Path

import pytest

for package in ("cyclopts", "matplotlib", "soundfile", "tensorboardX", "tensorflow"):
    pytest.importorskip(package)

from experiments.benchmarks.compile_time.report import CompileTimes
from experiments.benchmarks.compile_time.targets import KEY, PlannedRows
from experiments.benchmarks.compile_time.targets_report import make_report as targets_report
from experiments.benchmarks.dispatch import ways
from experiments.benchmarks.evaluation_speed import measure as evaluation_speed
from experiments.benchmarks.input_throughput import measure as input_throughput
from experiments.benchmarks.scaling.options import Case
from experiments.benchmarks.scaling.report import make_report as scaling_report
from experiments.benchmarks.throughput import report as throughput
from experiments.benchmarks.throughput.peak import Peak
from experiments.benchmarks.training_memory import measure as training_memory
from experiments.benchmarks.training_memory.options import MemoryOptions
from experiments.cli.results import Column, Report, Table, read_earlier
from experiments.rows.answer import UNIT
from experiments.rows.plan import DEFAULT_SYSTEMS
from experiments.rows.report import csv_table, row_table, system_table
from experiments.rows.row import RowResult
from experiments.scoring.answer import Answer, NamedDifference
from madsep_jax.config.systems import ALL, expand
from madsep_jax.errors import InputError
from madsep_jax.host.environment import describe_machine

RESULTS = Path(__file__).parents[1] / "experiments" / "results"


def kept(folder):
    (path,) = (RESULTS / folder).glob("*.json")
    return json.loads(path.read_text(encoding="utf-8")), (RESULTS / folder / "table.md").read_text(encoding="utf-8")


@pytest.fixture
def on(monkeypatch):
    """Let a module's captions name the machine of a kept result."""

    def use(module, environment):
        monkeypatch.setattr(module, "describe_machine", lambda: describe_machine(environment))

    return use


@pytest.mark.parametrize(
    ("folder", "against"),
    [("quick", None), ("quick-mingru", None), ("quick-avx2", None), ("all", "skip-filtering")],  # the best of many
)
def test_ablation(folder, against):
    content, table = kept(folder)
    results = [RowResult(**row) for row in content["rows"]]
    answer = Answer(
        [NamedDifference(**one) for one in content.get("differences", [])], content.get("answer", []), against
    )
    tables = [system_table(results), row_table(results, content["caption"]), answer.table(UNIT)]
    assert Report("results", {}, [one for one in tables if one]).markdown() == table
    assert csv_table(results) == (RESULTS / folder / "results.csv").read_text(encoding="utf-8")


def test_the_quick_table_has_what_an_answer_needs():
    """MaD and two sizes of DWS-CNN, three seeds each, 16 songs, and all of them learn: 3 dB over the mixture."""
    content, _ = kept("quick")
    results = [RowResult(**row) for row in content["rows"]]
    (mixture,) = [row for row in results if row.system == "mixture"]
    trained = [row for row in results if row.seed is not None]
    expected = [(system, seed) for system in DEFAULT_SYSTEMS["quick"] for seed in range(3)]
    assert sorted((row.system, row.seed) for row in trained) == sorted(expected)
    assert len(expected) == 9
    for row in trained:
        assert row.scores["targets"]["vocals"]["scored_songs"] == 16
        assert row.median_db("SDR") >= mixture.median_db("SDR") + 3


@pytest.mark.parametrize(
    "folder", ["throughput", "throughput-kept-memory", "throughput-compiled", "throughput-quick", "recurrence"]
)
def test_throughput(folder, on):
    content, table = kept(folder)
    on(throughput, content["environment"])
    peaks = {precision: Peak(**peak) for precision, peak in content["peaks"].items()}
    report = throughput.Timings(content["results"], peaks, content["settings"], content["earlier_runs"]).report()
    assert report.markdown() == table
    assert report.texts["summary.md"] == (RESULTS / folder / "summary.md").read_text(encoding="utf-8")
    assert report.content["results"] == content["results"]
    assert report.content.keys() == content.keys()


@pytest.mark.parametrize("folder", ["compile-time", "op-by-op"])
def test_compile_time(folder):
    content, table = kept(folder)
    report = CompileTimes(content["base"], content["parts"]).report()
    assert report.markdown() == table
    assert report.content == content


@pytest.mark.parametrize("folder", ["targets", "recurrence-targets"])
def test_targets(folder):
    content, table = kept(folder)
    rows = {tuple(row[name] for name in KEY): row for row in content["rows"]}
    report = targets_report(PlannedRows(RESULTS / folder, content["settings"]["preset"], rows))
    assert report.markdown() == table
    assert report.content["rows"] == content["rows"]
    assert all(row["reason"] is None for row in content["rows"] if row["batch"] == 4)


def test_every_system_is_planned():
    content, _ = kept("targets")
    assert {row["system"] for row in content["rows"]} >= set(expand((ALL,), (), (), "paper"))


def test_scaling():
    content, table = kept("scaling")
    found = {}
    for row in content["cases"]:
        case = Case(**{**row["case"], "styles": tuple(row["case"]["styles"])})
        rounds = found.setdefault(case, [{"environment": content["environment"], "styles": {}} for _ in row["round_s"]])
        for one, step_s, compile_s in zip(rounds, row["round_s"], row["compile_s"], strict=True):
            one["styles"][row["style"]] = {"step_s": [step_s], "compile_s": compile_s, "loss": row["loss"]}
    report = scaling_report(found, content["settings"])
    assert report.markdown() == table
    assert json.loads(json.dumps(report.content)) == content


def test_dispatch(on):
    content, table = kept("dispatch")
    on(ways, content["environment"])
    report = ways.make_report(
        [{name: way[name] for name in way if name != "speed_up"} for way in content["ways"]], content["settings"]
    )
    assert report.markdown() == table
    assert report.content["ways"] == content["ways"]


def test_training_memory(monkeypatch):
    content, table = kept("training-memory")
    monkeypatch.setattr(training_memory, "environment", lambda: content["environment"])
    report = training_memory.make_report(content["bytes"], MemoryOptions())
    assert report.markdown() == table
    assert report.content["settings"].keys() == content["settings"].keys()


def test_input_throughput(on):
    content, table = kept("input-throughput")
    on(input_throughput, content["environment"])
    report = input_throughput.make_report(content["pipelines"], content["trainings"], content["settings"])
    assert report.markdown() == table
    assert report.content.keys() == content.keys()


def test_evaluation_speed(on, monkeypatch):
    content, table = kept("evaluation-speed")
    on(evaluation_speed, content["environment"])
    version = content["environment"]["versions"]["museval"]
    monkeypatch.setattr(evaluation_speed, "museval_version", lambda: version)
    report = evaluation_speed.make_report(content["results"], content["new_process"], content["settings"])
    assert report.markdown() == table
    assert report.content["results"] == content["results"]


def test_a_cell_by_hand():
    row = {"name": "mad", "step_s": 0.0126, "spread": {"median": 2.0, "first_quartile": 1.0}, "none": None}
    assert Column("name", "name").cell(row) == "mad"
    assert Column("step (ms)", "step_s", ".1f", 1e3).cell(row) == "12.6"
    assert Column("spread", "spread", ".1f").cell(row) == "2.0"
    assert Column("none", "none", ".1f", 1e3).cell(row) == "–"
    assert Column("both", lambda row: row["step_s"] + 1, ".2f").cell(row) == "1.01"


def test_all_is_written_but_what_there_is_not(tmp_path):
    table = Table([Column("a", "a", word=True), Column("b", "b")], [{"a": "x", "b": 1}], "Caption.", "Title")
    nothing = {"nothing.png": lambda: None}
    Report("name", {"rows": table.rows, "nan": float("nan")}, [table], {"more.md": "more\n"}, nothing).write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"name.json", "table.md", "more.md"}
    assert json.loads((tmp_path / "name.json").read_text()) == {"rows": [{"a": "x", "b": 1}], "nan": None}
    assert (
        tmp_path / "table.md"
    ).read_text() == "### Title\n\n| a   |   b |\n|-----|-----|\n| x   |   1 |\n\nCaption.\n"


def test_an_earlier_file_is_read_or_refused_in_one_line(tmp_path):
    path = tmp_path / "name.json"
    assert read_earlier(path, lambda content: content["rows"]) is None
    path.write_text('{"rows": [1]}')
    assert read_earlier(path, lambda content: content["rows"]) == [1]
    with pytest.raises(InputError, match=r"name\.json: is damaged, or of another version; choose another folder"):
        read_earlier(path, lambda content: content["parts"])
