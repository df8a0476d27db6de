"""The page's masker of one's own through the commands, in a folder with nothing but its file and songs."""

import json

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "matplotlib", "tensorboardX", "tensorflow", "plotly", "jinja2", "safetensors"):
    pytest.importorskip(package)

from test_own_masker import BROKEN, example
from tiny_songs import make_songs

from experiments import ablation, compile_time, couplings, evaluate, madsep, throughput, training_memory
from experiments.benchmarks.throughput import peak
from madsep_jax.models import outside

SYSTEM, ROW = "my_masker.py:TcnMasker(channels=8)", "out/rows/TcnMasker-channels-8-seed0"
SIGNAL = ["sample_rate=8000", "window_length=257", "hop_length=48", "fft_length=512"]
ABLATION = ["--systems", "mad", SYSTEM, "--seeds", "1", "--steps", "50", "--batch", "2", "--processes", "1"]
ABLATION += ["--data", "songs", "--out", "out", "--cache", "cache", "--set", *(f"signal.{one}" for one in SIGNAL)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(outside, "_LOADED", {})
    monkeypatch.setattr(peak, "_SECONDS", 0.02)
    monkeypatch.setattr(peak, "_CPU_SIZES", (64,))
    monkeypatch.setattr(peak, "_CPU_COPY", 1000)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    make_songs(tmp_path / "songs")
    (tmp_path / "my_masker.py").write_text(example())
    return tmp_path


@pytest.mark.thorough
def test_all_commands_take_it(folder, monkeypatch, capsys):
    def run(command, *arguments):
        """Each command is a process of its own, which has loaded nothing."""
        monkeypatch.setattr(outside, "_LOADED", {})
        assert command.main([*arguments]) == 0
        return capsys.readouterr().out

    out = run(ablation, *ABLATION)
    assert any(line.split()[:1] == [SYSTEM] and len(line) <= 80 for line in out.splitlines()), out
    found = json.loads((folder / "out/results.json").read_text())
    (row,) = [row for row in found["rows"] if row["system"] == SYSTEM]
    assert row["status"] == "done"
    assert row["config"]["masker"]["source"] == "my_masker.py:TcnMasker"
    assert row["masker_parameters"] == 2 * 257 * 8 + 8 + 257 + 4 * (3 * 64 + 8 + 16)
    assert row["gflop_per_audio_second"] > 0
    assert (folder / "out/report.html").is_file()

    song, code = "songs/Mixtures/Test/00 - Test song/mixture.wav", ("--code", "my_masker.py")
    run(madsep, "separate", song, "-o", "separated", "--checkpoint", ROW, *code)
    assert (folder / "separated/mixture/vocals.wav").is_file()
    run(evaluate, "--data", "songs", "--checkpoint", f"tcn={ROW}", "--out", "scores", "--processes", "1", *code)
    run(madsep, "export", ROW, "--out", "tcn.safetensors", *code)
    run(madsep, "import", "tcn.safetensors", "--out", "imported", *code)
    maps = ["--checkpoint", "imported", "--data", "songs", "-o", "maps", "--cache", "cache"]
    run(couplings, *maps, "--steps", "3", *code)
    both = ["--checkpoint", "out", "--data", "songs", "-o", "both", "--cache", "cache", "--steps", "3"]
    assert "1 systems" not in run(couplings, *both, "--systems", "mad", SYSTEM)
    found = json.loads((folder / "both/couplings.json").read_text())
    assert [line["system"] for line in found["maps"]] == ["mad", SYSTEM]
    assert "TcnMasker-channels-8-seed0: left out: my_masker.py:TcnMasker: is code" in run(couplings, *both)

    small = ["--preset", "quick", "--batch", "1"]
    run(throughput, *small[:2], "--systems", SYSTEM, "--batches", "1", "--lengths", "24", "--steps", "2", "--out", "t")
    run(compile_time, *small, "--systems", SYSTEM, "--parts", "start", "export", "--repeats", "1", "--out", "c")
    run(training_memory, *small, "--system", SYSTEM, "--precisions", "float32", "--operations", "plain", "-o", "m")
    assert not [path for path in folder.iterdir() if path.name == "__pycache__"]

    monkeypatch.setattr(outside, "_LOADED", {})
    assert madsep.main(["separate", song, "-o", "again", "--checkpoint", ROW]) == 2
    assert "add --code my_masker.py" in capsys.readouterr().err
    (folder / "my_masker.py").write_text(example() + "# changed\n")
    for command, arguments in ((ablation, ABLATION), (couplings, ["--checkpoint", ROW, "-o", "more", *code])):
        monkeypatch.setattr(outside, "_LOADED", {})
        assert command.main(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "has changed since my_masker.py:TcnMasker was trained" in line
    run(ablation, *ABLATION, "--accept-changed-source")


def test_a_broken_one_is_one_line_before_anything_is_made(folder, capsys):
    before, after, *_ = BROKEN["negative"]
    (folder / "my_masker.py").write_text(example().replace(before, after))
    assert ablation.main(ABLATION) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (folder / "out").exists()
