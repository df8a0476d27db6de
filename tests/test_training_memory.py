"""`python -m experiments.training_memory`, small."""

import json

import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("tabulate")

from experiments import training_memory

SMALL = ["--system", "dws-2-4", "--preset", "quick", "--batch", "2", "--precisions", "float32"]


def test_each_variant_has_its_bytes(tmp_path, capsys):
    assert training_memory.main([*SMALL, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "training_memory.json").read_text())["bytes"]
    assert [row["remat"] for row in found] == ["no", "yes"]
    for row in found:
        assert row["total"] == row["held"] + row["temporary"] > 0
    assert (tmp_path / "out" / "table.md").read_text().strip() in capsys.readouterr().out


def test_bad_options_are_one_line(tmp_path, capsys):
    assert training_memory.main([*SMALL, "--accumulate", "3", "--out", str(tmp_path / "out")]) == 2
    assert "TrainingConfig.accumulation: found 3, expected a divisor of the batch size (2)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
