"""Ten songs of which three are bad: seven are done, and three named, by each command; before work begins, all are."""

import json
import math
import shutil

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib"):
    pytest.importorskip(package)

from small_ablation import SMALL
from tiny_songs import RATE, make_songs

from data_pipelines.songs.layouts import find_songs
from experiments import ablation, evaluate

FAULTS = {
    "02": "drums.wav: 3200 samples, expected 4800 samples like its mixture.wav",
    "05": "vocals.wav: 2 NaN or infinite samples, the first at 0.012500 s",
    "08": "found bass.wav, drums.wav, other.wav, expected also vocals.wav",
}


def spoil(songs, split):
    def folder(number):
        return songs / "Sources" / split / f"{number} - {split} song"

    for number, name in (("02", "drums"), ("05", "vocals")):
        samples_NC, _ = sf.read(folder(number) / f"{name}.wav")
        if number == "02":
            samples_NC = samples_NC[:3200]
        else:
            samples_NC[100] = math.nan
        sf.write(folder(number) / f"{name}.wav", samples_NC, RATE, subtype="FLOAT")
    (folder("08") / "vocals.wav").unlink()
    return songs


def assert_all_named(text, command, songs=10, faults=FAULTS):
    about, *lines = text.splitlines()
    advice = "mend them, or leave them out by --skip-bad:"
    assert about == f"{command}: {len(faults)} of {songs} songs cannot be used; {advice}"
    assert len(lines) == len(faults)
    for number, fault in faults.items():
        assert [number in line for line in lines if fault in line] == [True]


@pytest.fixture(scope="module")
def to_score(tmp_path_factory):
    """Ten songs to score, three of which are bad, and two to train on."""
    songs = make_songs(tmp_path_factory.mktemp("songs"), train=2, test=10, seconds=0.6)
    estimates = tmp_path_factory.mktemp("estimates") / "tool"
    for track in find_songs(songs).of("test").tracks:
        place = estimates / track.name / "vocals.wav"
        place.parent.mkdir(parents=True)
        sf.write(place, 0.9 * track.read().voice_NC, RATE)
    return spoil(songs, "Test"), estimates


def run_evaluate(songs, estimates, out, *more):
    arguments = ["--data", songs, "--estimates", estimates, "--out", out, "--protocol", "usdr", "--processes", "1"]
    return evaluate.main([*map(str, arguments), *more])


def test_evaluate(to_score, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_evaluate(*to_score, out) == 2
    assert_all_named(capsys.readouterr().err, "evaluate")
    assert not out.exists()
    assert run_evaluate(*to_score, out, "--skip-bad") == 0
    names = "02 - Test song, 05 - Test song, 08 - Test song"
    assert f"7 songs, 0.1 min; 3 songs left out as bad: {', '.join(sorted(names.split(', ')))}" in _sorted_names(out)
    assert len(list((out / "scores" / "tool" / "test").glob("*.json"))) == 7


def _sorted_names(out):
    """The table's caption, its list of songs sorted."""
    text = (out / "table.md").read_text()
    before, found, after = text.partition("left out as bad: ")
    names, dot, rest = after.partition(".")
    return before + found + ", ".join(sorted(names.split(", "))) + dot + rest


def test_evaluate_with_bad_estimates(to_score, tmp_path, capsys):
    """Beside the bad songs: an estimate that is missing, one of another rate, and one in one channel."""
    songs, estimates = to_score
    estimates = shutil.copytree(estimates, tmp_path / "tool")
    shutil.rmtree(estimates / "00 - Test song")
    for number, channels, rate in (("01", 2, 16000), ("03", 1, RATE)):
        sf.write(estimates / f"{number} - Test song" / "vocals.wav", np.zeros((4800, channels)), rate)
    faults = FAULTS | {
        "00": "found no file, expected vocals.wav",
        "01": "found 16000 Hz, expected 8000 Hz, the song's",
        "03": "found 1 channels, expected 2, the song's",
    }
    assert run_evaluate(songs, estimates, tmp_path / "out") == 2
    assert_all_named(capsys.readouterr().err, "evaluate", faults=faults)
    assert run_evaluate(songs, estimates, tmp_path / "out", "--skip-bad") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["systems"]["tool"]["targets"]["vocals"]["scored_songs"] == 4
    assert "6 songs left out as bad: " in results["caption"]


def test_prepare(tmp_path, capsys):
    pytest.importorskip("tensorflow_datasets")
    from test_prepare_command import arguments

    from data_pipelines.prepared.index import find_set, read_index
    from experiments import prepare

    songs = spoil(make_songs(tmp_path / "songs", train=10, test=1, seconds=0.6), "Dev")
    command = arguments(songs, tmp_path / "sets", name="dsd100")
    assert prepare.main(command) == 2
    assert_all_named(capsys.readouterr().err, "prepare", songs=11)
    assert not (tmp_path / "sets").exists()
    for _ in range(2):  # again, it checks what is there
        assert prepare.main([*command, "--skip-bad"]) == 0
        text = capsys.readouterr().out
        assert text.count(": left out\n") == 3
        assert "3 songs left out as bad: " in text
    index = read_index(find_set(tmp_path / "sets"))
    assert [len(index.split("train")), len(index.left_out)] == [7, 3]
    from experiments.data.prepared import PreparedTraining

    assert "3 songs left out as bad" in PreparedTraining.find(tmp_path / "sets").description


@pytest.mark.thorough
def test_ablation(tmp_path, capsys):
    """Only the references are scored, and one row is trained for a step."""
    pytest.importorskip("tensorflow")
    songs = spoil(make_songs(tmp_path / "songs", train=10, test=1, seconds=0.6), "Dev")
    command = [*SMALL, "--data", str(songs), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert ablation.main(command) == 2
    assert_all_named(capsys.readouterr().err, "ablation", songs=11)
    assert not (tmp_path / "out").exists()
    assert ablation.main([*command, "--skip-bad"]) == 0
    for name in ("table.md", "results.json"):
        text = (tmp_path / "out" / name).read_text()
        assert "7 training songs" in text
        assert "3 songs left out as bad: 02 - Dev song, 08 - Dev song, 05 - Dev song" in text


def test_a_copied_data_set_continues_its_experiment(to_score, tmp_path, capsys):
    songs, estimates = to_score
    assert run_evaluate(songs, estimates, tmp_path / "out", "--skip-bad") == 0
    copies = [shutil.copytree(folder, tmp_path / "copies" / folder.name) for folder in (songs, estimates)]
    (path,) = (tmp_path / "out" / "scores" / "tool" / "test").glob("00*.json")
    before = path.stat().st_mtime_ns
    assert run_evaluate(*copies, tmp_path / "out", "--skip-bad") == 0
    assert path.stat().st_mtime_ns == before  # not scored again
