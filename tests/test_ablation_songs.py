"""Bad songs given to the ablation: one line that names the file, exit code 2, and no folder of results."""

import math

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib"):
    pytest.importorskip(package)

from small_ablation import error_line, run_small
from tiny_songs import RATE, make_songs

from experiments.data.songs import load_songs


def _remove(path):
    path.unlink()


def _shorten(path):
    samples_NC, rate = sf.read(path)
    sf.write(path, samples_NC[:-1600], rate, subtype="FLOAT")  # 0.2 s


def _empty(path):
    path.write_bytes(b"")


def _put_nan(path):
    samples_NC, rate = sf.read(path)
    samples_NC[RATE // 2] = math.nan
    sf.write(path, samples_NC, rate, subtype="FLOAT")


STEM = "Sources/{split}/01 - {split} song/drums.wav"
VOICE = "Sources/{split}/01 - {split} song/vocals.wav"
DAMAGES = [
    (_remove, VOICE, "01 - {split} song: found bass.wav, drums.wav, other.wav, expected also vocals.wav"),
    (_shorten, STEM, "/drums.wav: 14400 samples, expected 16000 samples like its mixture.wav"),
    (_empty, STEM, "/drums.wav: is empty (0 bytes), expected an audio file"),
    (_put_nan, STEM, "/drums.wav: 2 NaN or infinite samples, the first at 0.500000 s, expected finite samples"),
    (_put_nan, "Mixtures/{split}/01 - {split} song/mixture.wav", "/mixture.wav: 2 NaN or infinite samples"),
]


@pytest.mark.parametrize("split", ["Dev", "Test"])
@pytest.mark.parametrize(("damage", "path", "expected"), DAMAGES)
def test_bad_songs(tmp_path, capsys, split, damage, path, expected):
    songs = make_songs(tmp_path / "songs", seconds=2)
    damage(songs / path.replace("{split}", split))
    out = tmp_path / "out"
    assert run_small(tmp_path, songs, out) == 2
    line = error_line(capsys)
    assert str(songs) in line
    assert expected.replace("{split}", split) in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: None, "songs: no such folder, expected the folder of DSD100 or MUSDB18-HQ"),
        (lambda folder: folder.write_text(""), "songs: is a file, expected the folder of DSD100"),
        (lambda folder: folder.mkdir(), "songs: found nothing, expected DSD100's folders Mixtures and Sources"),
        (lambda folder: (folder / "train").mkdir(parents=True), "songs: no tracks, expected a folder for each track"),
        (lambda folder: make_songs(folder, test=0), "songs: found no test songs, expected at least one"),
        (lambda folder: make_songs(folder, train=0), "songs: found no training songs, expected at least one"),
        (
            lambda folder: make_songs(folder, train=1, test=1, seconds=0.05),
            "training songs: found 1 sequences in 1 songs",
        ),
    ],
)
def test_bad_folder_of_songs(tmp_path, capsys, make, expected):
    make(tmp_path / "songs")
    assert run_small(tmp_path, tmp_path / "songs", tmp_path / "out") == 2
    assert expected in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_songs_are_what_they_are_said_to_be(tmp_path):
    """So that the damages above are the only ones."""
    for track in load_songs(str(make_songs(tmp_path / "songs")), RATE).train:
        audio = track.read()
        np.testing.assert_allclose(sum(audio.stems_NC.values()), audio.mixture_NC, rtol=0, atol=1e-6)
        assert np.abs(audio.mixture_NC).max() < 1
