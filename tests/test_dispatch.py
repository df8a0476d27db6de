"""`python -m experiments.dispatch`: what it times, what it writes, and one small system for real."""

import json

import pytest
from pages import is_printed

pytest.importorskip("cyclopts")

from experiments import dispatch
from experiments.benchmarks.dispatch.ways import with_speed_ups


def test_the_speed_up_is_over_one_seed_and_one_step_in_a_call():
    names = ("system", "steps_per_call", "seeds", "median_step_s")
    ways = [("mad", 1, 1, 0.2), ("mad", 8, 1, 0.1), ("dae", 1, 1, 9.0), ("mad", 8, 5, 0.05)]
    rows = with_speed_ups([dict(zip(names, way, strict=True)) for way in ways])
    assert [row["speed_up"] for row in rows] == pytest.approx([1, 2, 1, 4])


def test_each_way_is_timed_and_written(tmp_path, capsys):
    """Three steps are two whole calls of two."""
    arguments = ["--systems", "skip-filtering", "--batch", "1", "--steps-per-call", "2", "--seeds", "2"]
    assert dispatch.main([*arguments, "--steps", "3", "--rounds", "2", "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "dispatch.json").read_text())
    assert [(way["steps_per_call"], way["seeds"]) for way in content["ways"]] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    for way in content["ways"]:
        assert len(way["step_s"]) == 2
        assert min(way["step_s"]) > 0
        assert way["median_step_s"] == pytest.approx(sum(way["step_s"]) / 2)
        assert way["compile_s"] > 0
    assert content["environment"]["backend"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count("| skip-filtering |") == 4
    out = capsys.readouterr().out
    assert is_printed(table, out)
    assert " ".join(table.split("\n\n")[-1].split()) in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds: found 1, expected at least 2"),
        (["--steps-per-call", "1"], "--steps-per-call: found 1, expected at least 2"),
        (["--rounds", "0"], "--rounds: found 0, expected at least 1"),
        (["--systems", "dws-3"], "system 'dws-3'"),
        (["--preset", "small"], "preset"),
    ],
)
def test_bad_options_are_one_line(arguments, message, capsys):
    assert dispatch.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
