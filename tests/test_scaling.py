"""`python -m experiments.scaling`: what it measures, what it writes, and one case for real."""

import json

import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("matplotlib")

from experiments import scaling
from experiments.scaling import ScalingOptions
from experiments.sharing.cases import Case, Measured, efficiency, run_case


def measured(devices, step_s, style="jit", **more):
    return Measured(Case("mad", "quick", 8, style, devices=devices, **more), [step_s], [1.0], 0.5)


def test_efficiency_is_of_the_same_style_on_one_device():
    found = [measured(1, 1.0), measured(4, 0.5), measured(1, 3.0, "pmap"), measured(2, 2.0, "pmap")]
    assert efficiency(found[1], found, scaled=False) == pytest.approx(0.5)
    assert efficiency(found[3], found, scaled=False) == pytest.approx(0.75)
    assert efficiency(found[1], found, scaled=True) == pytest.approx(2.0)
    assert efficiency(found[1], found[1:], scaled=False) is None


def test_cases_are_those_that_processes_can_share():
    options = ScalingOptions(devices=(1, 2), processes=(1, 2), styles=("jit",), steps_per_call=(1, 4), seeds=(1, 3))
    found = [(case.processes, case.devices, case.steps_per_call, case.seeds) for case in options.cases()]
    assert found == [(1, 1, 1, 1), (1, 2, 1, 1), (2, 2, 1, 1), (1, 1, 4, 1), (1, 1, 1, 3)]
    scaled = ScalingOptions(devices=(1, 2), processes=(1,), styles=("jit",), batch=3, batch_per_device=True)
    assert [case.batch for case in scaled.cases()][:2] == [3, 6]


def test_everything_is_written(tmp_path, monkeypatch, capsys):
    times = iter([0.4, 0.1, 0.2, 0.3])
    monkeypatch.setattr(
        scaling, "run_case", lambda case, platform: {"step_s": next(times), "compile_s": 2.0, "loss": 1.5}
    )
    arguments = ["--devices", "1", "2", "--processes", "1", "--styles", "jit", "--steps-per-call", "1", "--seeds", "1"]
    assert scaling.main([*arguments, "--rounds", "2", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "scaling.json").read_text())
    assert [case["step_s"] for case in found["cases"]] == [[0.4, 0.2], [0.1, 0.3]]
    assert [case["efficiency"] for case in found["cases"]] == pytest.approx([1.0, 0.75])
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
        (["--devices", "1", "--processes", "2", "--steps-per-call", "1", "--seeds", "1"], "--devices: found [1]"),
    ],
)
def test_bad_options_are_one_line(arguments, message, capsys):
    assert scaling.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_case_is_measured_in_processes_of_its_own():
    """Two processes of one device each: the same loss as one of one."""
    two = run_case(Case("skip-filtering", "quick", 2, processes=2, devices=2, steps=1), "cpu")
    one = run_case(Case("skip-filtering", "quick", 2, steps=1), "cpu")
    assert two["step_s"] > 0
    assert two["compile_s"] > 0
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
