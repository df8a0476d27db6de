"""`python -m experiments.scaling`: what it measures, what it writes, and one case for real."""

import json

import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("matplotlib")

from experiments import scaling
from experiments.benchmarks.scaling import measure
from experiments.benchmarks.scaling.measure import run_case
from experiments.benchmarks.scaling.options import Case, ScalingOptions
from experiments.benchmarks.scaling.report import make_report, rows_of

ENVIRONMENT = {"device": "cpu", "cpu_cores": 2, "versions": {"jax": "1"}}


def found(**step_s):
    styles = {style: {"step_s": list(seconds), "compile_s": 2.0, "loss": 1.5} for style, seconds in step_s.items()}
    return {"environment": ENVIRONMENT, "styles": styles}


def test_efficiency_is_of_the_same_style_on_one_device():
    one, four = (Case(system="mad", preset="quick", batch=8, devices=n, styles=("jit", "pmap")) for n in (1, 4))
    rows = rows_of({one: [found(jit=[1.0, 1.0, 9.0], pmap=[3.0])], four: [found(jit=[0.5], pmap=[0.75])]})
    assert [(row["style"], row["speed_up"]) for row in rows] == [
        ("jit", 1.0),
        ("jit", pytest.approx(2)),
        ("pmap", 1.0),
        ("pmap", pytest.approx(4)),
    ]
    assert [row["efficiency"] for row in rows] == pytest.approx([1, 0.5, 1, 1])


def test_a_larger_batch_counts_by_its_sequences():
    one, two = (Case(system="mad", preset="quick", batch=4 * n, devices=n) for n in (1, 2))
    rows = rows_of({one: [found(jit=[1.0])], two: [found(jit=[1.25])]})
    assert rows[1]["speed_up"] == pytest.approx(1.6)
    assert rows[1]["efficiency"] == pytest.approx(0.8)


def test_nothing_is_said_of_what_was_not_measured_on_one_device():
    two = Case(system="mad", preset="quick", batch=4, devices=2)
    measured = {two: [found(jit=[1.0])]}
    assert rows_of(measured)[0]["efficiency"] is None
    assert "processor" not in make_report(measured, {"on": "accelerator"}).markdown()


def test_cases_are_those_that_processes_can_share():
    options = ScalingOptions(devices=(1, 2, 4), processes=(1, 2), batch=4)
    assert [(case.processes, case.devices) for case in options.cases()] == [(1, 1), (1, 2), (1, 4), (2, 2), (2, 4)]
    scaled = ScalingOptions(devices=(1, 2), processes=(1,), batch=3, batch_per_device=True)
    assert [case.batch for case in scaled.cases()] == [3, 6]


def test_everything_is_written(tmp_path, monkeypatch, capsys):
    """Two rounds of two cases, in turn."""
    times = iter([0.4, 0.1, 0.2, 0.3])
    monkeypatch.setattr(measure, "run_case", lambda case, platform: found(jit=[next(times)]))
    arguments = ["--devices", "1", "2", "--processes", "1", "--styles", "jit", "--rounds", "2"]
    assert scaling.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "scaling.json").read_text())
    assert content["environment"] == ENVIRONMENT
    assert [case["round_s"] for case in content["cases"]] == [[0.4, 0.2], [0.1, 0.3]]
    assert [case["efficiency"] for case in content["cases"]] == pytest.approx([1.0, 0.75])
    table = (tmp_path / "out" / "table.md").read_text()
    assert "300.0" in table
    assert "200.0 to 400.0" in table
    assert (tmp_path / "out" / "scaling.png").stat().st_size > 0
    assert "Results: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "6", "--devices", "4"], "--batch: found 6, expected a multiple of the 4 devices"),
        (["--devices", "0"], "--devices: found [0], expected numbers of at least 1"),
        (["--rounds", "0"], "--rounds: found 0, expected at least 1"),
        (["--system", "dws-3"], "system 'dws-3'"),
        (["--devices", "1", "--processes", "2"], "--devices: found [1], expected multiples of the processes"),
    ],
)
def test_bad_options_are_one_line(arguments, message, capsys):
    assert scaling.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.thorough
def test_a_case_is_measured_in_processes_of_its_own():
    """Two processes of one device each: the same loss as one of one, by jit and by pmap."""
    case = {"system": "skip-filtering", "preset": "quick", "batch": 2, "steps": 3}
    one = run_case(Case(**case), "cpu")
    two = run_case(Case(**case, processes=2, devices=2, styles=("jit", "pmap")), "cpu")
    for style in ("jit", "pmap"):
        assert len(two["styles"][style]["step_s"]) == 3
        assert min(two["styles"][style]["step_s"]) > 0
        assert two["styles"][style]["compile_s"] > 0
        assert two["styles"][style]["loss"] == pytest.approx(one["styles"]["jit"]["loss"], rel=1e-4)
    assert two["environment"]["device_count"] == 2
