"""The ablation on prepared sets: the same training by each form, and what is wrong with a set said before it starts."""

import importlib.util
import json
import os
import shutil

import pytest
from small_ablation import SMALL, error_line
from tiny_sets import files_in
from tiny_songs import make_songs

pytest.importorskip("tensorflow_datasets")
if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from data_pipelines.prepared.index import find_set
from experiments.ablation import main
from experiments.prepare import main as prepare

SIGNAL = SMALL[1:5]  # the assignments after --set


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"), train=2, test=1, seconds=1.2)


@pytest.fixture(scope="module")
def whole(songs, tmp_path_factory):
    """A prepared set that nothing is wrong with."""
    return prepared(songs, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it."""
    data_dir = whole.parents[2]
    shutil.copytree(data_dir, tmp_path / "sets")
    return tmp_path / "sets" / whole.relative_to(data_dir)


def prepared(songs, data_dir, *more, features="spectrogram"):
    command = ["dsd100", "--manual-dir", str(songs), "--data-dir", str(data_dir), "--features", features]
    assert prepare([*command, "--processes", "1", "--set", *SIGNAL, *more]) == 0
    return find_set(data_dir)


def run(tmp_path, songs, folder, out="out", steps=1):
    small = list(SMALL)
    small[small.index("--steps") + 1] = str(steps)
    return main([*small, "--data", str(songs), "--prepared", str(folder), "--out", str(tmp_path / out)])


def losses(tmp_path, out):
    lines = (tmp_path / out / "rows" / "dws-1-4-seed0" / "train.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.thorough
def test_every_form_trains_the_same(songs, tmp_path, capsys):
    """The first step's loss; the cache of whole songs' spectrograms holds what the prepared sets do."""
    found = {}
    for features in ("spectrogram", "waveform"):
        folder = prepared(songs, tmp_path / features, features=features)
        assert run(tmp_path, songs, folder, out=f"out-{features}") == 0
        found[features] = losses(tmp_path, f"out-{features}")
        config = json.loads((tmp_path / f"out-{features}" / "results.json").read_text())["base"]
        assert config["data"]["features"] == features
    assert main([*SMALL, "--data", str(songs), "--out", str(tmp_path / "c"), "--cache", str(tmp_path / "cache")]) == 0
    found["cache"] = losses(tmp_path, "c")
    assert found["waveform"] == pytest.approx(found["spectrogram"], rel=1e-5)
    assert found["cache"] == pytest.approx(found["spectrogram"], rel=1e-3)  # songs of float samples, sets of 16 bits


def test_other_signal_settings(songs, tmp_path, capsys):
    folder = prepared(songs, tmp_path / "sets", "signal.hop_length=50")
    capsys.readouterr()
    assert run(tmp_path, songs, folder) == 2
    assert "prepared with signal.hop_length=50, expected 48; prepare it with the settings of" in error_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "-00001-of-00002: no such file, expected a shard of the set"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "-00001-of-00002: is damaged or cut short"),
        (lambda path: path.write_bytes(b""), "-00001-of-00002: is damaged or cut short"),
        (
            lambda path: flip_a_bit(path),
            "is damaged, expected it as it was written; `python -m experiments.prepare`, run again, writes",
        ),
    ],
    ids=["missing", "cut short", "empty", "a bit"],
)
def test_a_damaged_set(songs, whole, folder, tmp_path, capsys, damage, message):
    """Nothing is lost: the command that prepares the set mends it."""
    damage(folder / "dsd100-train.array_record-00001-of-00002")
    capsys.readouterr()
    assert run(tmp_path, songs, folder) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "out").exists()
    prepared(songs, tmp_path / "sets")
    assert files_in(folder) == files_in(whole)


@pytest.mark.thorough
def test_damage_after_the_check_is_found_when_it_is_read(songs, folder, tmp_path, capsys):
    """A set that was found whole is not read again; each record's checksum still is."""
    assert run(tmp_path, songs, folder) == 0
    path = folder / "dsd100-train.array_record-00001-of-00002"
    changed = path.stat().st_mtime_ns
    flip_a_bit(path)
    os.utime(path, ns=(changed, changed))
    capsys.readouterr()
    assert run(tmp_path, songs, folder, out="again", steps=60) == 2
    assert "is damaged, expected it as it was written" in error_line(capsys)


def test_a_song_that_is_trained_on_and_scored(songs, folder, tmp_path, capsys):
    path = folder / "metadata.json"
    path.write_text(path.read_text().replace("00 - Dev song", "00 - Test song"))
    capsys.readouterr()
    assert run(tmp_path, songs, folder) == 2
    assert "trains on '00 - Test song', which is a test song of --data" in error_line(capsys)


def test_no_set(songs, tmp_path, capsys):
    assert run(tmp_path, songs, tmp_path / "nothing") == 2
    assert "found no prepared set, expected one by `python -m experiments.prepare`" in error_line(capsys)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
