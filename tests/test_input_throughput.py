"""The measurement of the input: its numbers fit together, and its files hold them."""

import json

import pytest
from tiny_songs import make_songs

pytest.importorskip("tensorflow_datasets")

from experiments.input_throughput import main
from experiments.prepare import main as prepare


@pytest.mark.thorough
@pytest.mark.parametrize("batches", [(2,), (1, 2)])
def test_measures_and_writes(tmp_path, capsys, batches):
    songs = make_songs(tmp_path / "songs", train=1, test=1, seconds=1.0)
    sets = []
    for features in ("spectrogram", "waveform"):
        sets.append(str(tmp_path / features))
        paths = ["--manual-dir", str(songs), "--data-dir", sets[-1]]
        assert prepare(["dsd100", *paths, "--features", features, "--preset", "quick", "--processes", "1"]) == 0
    options = ["--preset", "quick", "--systems", "dws-1-4", "--steps", "2", "--seconds", "0.1"]
    options += ["--batches", *map(str, batches)]
    assert main(["--prepared", *sets, *options, "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "input_throughput.json").read_text())
    assert [(row["name"], row["batch"]) for row in content["pipelines"]] == [
        ("spectrogram float32", 2),
        ("waveform", 2),
    ]
    assert [row["sequence_bytes"] for row in content["pipelines"]] == [
        4 * 513 * (60 + 40),
        2 * 2 * 2 * (59 * 96 + 513),
    ]
    for row in content["pipelines"]:
        assert 0 < row["first_quartile"] <= row["sequences_per_s"] <= row["third_quartile"]
        assert row["mb_per_s"] == pytest.approx(row["sequences_per_s"] * row["sequence_bytes"] / 1e6)
        assert 0 < row["cpu_share"] <= 1.05
    assert [(row["system"], row["batch"]) for row in content["trainings"]] == [
        ("dws-1-4", batch) for batch in batches for _ in sets
    ]
    for row in content["trainings"]:
        assert len(row["step_s"]) == len(row["wait_s"]) == 2
        assert row["wait_share"] == pytest.approx(sum(row["wait_s"]) / (sum(row["wait_s"]) + sum(row["step_s"])))
    assert "waiting (%)" in text
    assert (tmp_path / "out" / "table.md").is_file()
    assert (tmp_path / "out" / "input_throughput.png").stat().st_size > 1000


def test_sets_of_another_size(tmp_path, capsys):
    songs = make_songs(tmp_path / "songs", train=1, test=1, seconds=1.0)
    paths = ["--manual-dir", str(songs), "--data-dir", str(tmp_path / "sets")]
    assert prepare(["dsd100", *paths, "--preset", "quick", "--processes", "1"]) == 0
    capsys.readouterr()
    assert main(["--prepared", str(tmp_path / "sets"), "-o", str(tmp_path / "out")]) == 2
    assert "prepared with signal.sample_rate=11025, expected 44100" in capsys.readouterr().err
