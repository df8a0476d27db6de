"""`python -m experiments.training_memory`, small."""

import json

import pytest
from pages import is_printed

pytest.importorskip("cyclopts")

from experiments import training_memory
from experiments.benchmarks.training_memory.options import MemoryOptions

SMALL = ["--system", "dws-6-4", "--preset", "quick", "--batch", "2"]


@pytest.mark.thorough
def test_remat_takes_less_memory(tmp_path, capsys):
    """Of six blocks in a loop, the plain form keeps all that lies between; computed again, their inputs."""
    arguments = [*SMALL, "--precisions", "float32", "--operations", "plain"]
    assert training_memory.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    kept, again = json.loads((tmp_path / "out" / "training_memory.json").read_text())["bytes"]
    assert (kept["remat"], again["remat"]) == ("no", "yes")
    assert again["temporary"] < 0.8 * kept["temporary"]
    assert again["held"] == kept["held"] > 0
    assert kept["total"] == kept["held"] + kept["temporary"]
    table, out = (tmp_path / "out" / "table.md").read_text(), capsys.readouterr().out
    assert is_printed(table, out)
    assert " ".join(table.split("\n\n")[-1].split()) in " ".join(out.split())


def test_the_fast_blocks_have_one_variant():
    found = [case.config.compute for case in MemoryOptions().cases()]
    assert [(one.operations, one.precision, one.remat) for one in found] == [
        ("plain", "float32", False),
        ("plain", "float32", True),
        ("plain", "bfloat16", False),
        ("plain", "bfloat16", True),
        ("fast", "float32", False),
    ]
    assert len(MemoryOptions(system="mad").cases()) == 8


def test_bad_options_are_one_line(tmp_path, capsys):
    assert training_memory.main([*SMALL, "--accumulate", "3", "--out", str(tmp_path / "out")]) == 2
    assert "TrainingConfig.accumulation: found 3, expected a divisor of the batch size (2)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_backend_that_does_not_tell_leaves_its_cells_empty(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.benchmarks.training_memory.measure.planned_memory", lambda compiled: {})
    arguments = [*SMALL, "--precisions", "float32", "--operations", "plain", "--out", str(tmp_path)]
    assert training_memory.main(arguments) == 0
    row = json.loads((tmp_path / "training_memory.json").read_text())["bytes"][0]
    assert (row["held"], row["temporary"], row["total"]) == (None, None, None)
    cells = [cell.strip() for cell in (tmp_path / "table.md").read_text().splitlines()[2].split("|")]
    assert cells[5:8] == ["–", "–", "–"]
