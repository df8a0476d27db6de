"""Both layouts built in a folder, each fault in them with its text, and the real corpus where it is there."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.songs.layouts import find_songs, find_tracks
from data_pipelines.songs.song_files import FolderTrack
from data_pipelines.songs.tracks import STEMS
from madsep_jax.audio import write_audio
from madsep_jax.errors import InputError, InputErrors

soundfile = pytest.importorskip("soundfile")

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
RATE, N = 8000, 400
PARTS = {"train": "Dev", "test": "Test"}
X = "Sources/Dev/051 - X"


def stems_NC(n=N, channels=2):
    """Noise on the grid of 16 bits, so that the mixture is the sum to the last bit."""
    rng = np.random.default_rng(len(STEMS))
    return {stem: rng.integers(-8000, 8000, (n, channels)).astype(np.float32) / 2**15 for stem in STEMS}


def write_track(mixture_folder, stem_folder, suffix=".wav"):
    stems = stems_NC()
    for folder, name, samples_NC in [
        (mixture_folder, "mixture", sum(stems.values())),
        *((stem_folder, stem, samples_NC) for stem, samples_NC in stems.items()),
    ]:
        folder.mkdir(parents=True, exist_ok=True)
        write_audio(folder / f"{name}{suffix}", samples_NC, RATE)


def write_set(root, layout, tracks, suffix=".wav"):
    for split, name in tracks:
        if layout == "DSD100":
            part = Path(PARTS[split], name)
            write_track(root / "Mixtures" / part, root / "Sources" / part, suffix)
        else:
            write_track(root / split / name, root / split / name, suffix)


@pytest.fixture
def dsd100(tmp_path):
    write_set(tmp_path, "DSD100", [("train", "051 - X"), ("test", "001 - Y")])
    return tmp_path


@pytest.mark.parametrize("layout", ["DSD100", "MUSDB18-HQ"])
@pytest.mark.parametrize("below", [".", "the data"])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_both_layouts(tmp_path, layout, below, suffix):
    wanted = [("test", "a"), ("train", "b - Ünï"), ("test", "c"), ("train", "c")]
    write_set(tmp_path / below, layout, reversed(wanted), suffix)
    for clutter in ("__MACOSX/train/x", ".git/train/x", "notes"):
        (tmp_path / clutter).mkdir(parents=True)
    (tmp_path / below / ("Mixtures/Dev" if layout == "DSD100" else "train") / "readme.txt").write_text("x")
    tracks = find_tracks(tmp_path)
    assert [(t.split, t.name) for t in tracks] == wanted  # sorted by name
    for track in tracks:
        assert (track.sample_rate, track.duration_s) == (RATE, N / RATE)
        audio = track.read()
        assert audio.sample_rate == RATE
        assert tuple(audio.stems_NC) == STEMS
        np.testing.assert_array_equal(audio.mixture_NC, sum(stems_NC().values()))
        for stem, samples_NC in stems_NC().items():
            np.testing.assert_array_equal(audio.stems_NC[stem], samples_NC)


def test_one_split_alone_and_a_track_of_links(dsd100):
    shutil.move(dsd100 / X / "vocals.wav", dsd100 / "elsewhere.wav")
    (dsd100 / X / "vocals.wav").symlink_to(dsd100 / "elsewhere.wav")
    for kind in ("Mixtures", "Sources"):
        shutil.rmtree(dsd100 / kind / "Test")
    (track,) = find_tracks(str(dsd100))
    assert (track.split, track.name) == ("train", "051 - X")
    assert track.read().voice_NC.shape == (N, 2)


def test_wav_is_read_where_flac_is_there_too(dsd100):
    (dsd100 / X / "vocals.flac").write_text("not looked at")
    track = next(t for t in find_tracks(dsd100) if t.split == "train")
    assert isinstance(track, FolderTrack)
    assert track.files["vocals"].name == "vocals.wav"


def test_fingerprint_is_of_the_content_wherever_it_lies(dsd100, tmp_path_factory):
    track = find_tracks(dsd100)[1]
    assert isinstance(track, FolderTrack)
    path = dsd100 / X / "bass.wav"
    stat = path.stat()
    first = track.fingerprint()
    assert first == find_tracks(dsd100)[1].fingerprint()
    assert len(first) == 16
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    assert track.fingerprint() == first
    copy = shutil.copytree(dsd100, tmp_path_factory.mktemp("elsewhere") / "copy")
    assert find_tracks(copy)[1].fingerprint() == first
    swapped_NC = stems_NC()["bass"][::-1]  # of the same size
    write_audio(path, swapped_NC, RATE)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = track.fingerprint()
    stems = {"drums": track.files["bass"], "bass": track.files["drums"]}
    renamed = dataclasses.replace(track, files={**track.files, **stems})
    assert len({first, second, renamed.fingerprint()}) == 3
    path.unlink()
    with pytest.raises(
        InputError, match=r"bass\.wav: cannot be read \(No such file or directory\), expected the file that was"
    ):
        track.fingerprint()


def rewrite(samples_NC, rate=RATE):
    return lambda path: write_audio(path, samples_NC, rate)


@pytest.mark.parametrize(
    ("at", "do", "text"),
    [
        (
            f"{X}/vocals.wav",
            rewrite(stems_NC(1201)["vocals"]),  # 801 samples more, 0.1 s being 800
            f"{X}/vocals.wav: 1201 samples, expected 400 samples like its mixture.wav",
        ),
        (
            f"{X}/bass.wav",
            rewrite(stems_NC()["bass"], 16000),
            f"{X}/bass.wav: 16000 Hz, expected 8000 Hz like its mixture.wav",
        ),
        (
            f"{X}/other.wav",
            rewrite(stems_NC(N, 1)["other"]),
            f"{X}/other.wav: 1 channel, expected 2 channels like its mixture.wav",
        ),
        (
            f"{X}/vocals.wav",
            os.remove,
            f"{X}: found bass.wav, drums.wav, other.wav, expected also vocals.wav (flac, mp3 or any other sound file)",
        ),
        (
            "Mixtures/Dev/051 - X/mixture.wav",
            os.remove,
            "Mixtures/Dev/051 - X: found nothing, expected also mixture.wav (flac, mp3",
        ),
        (X, shutil.rmtree, f"{X}: no such folder, expected as "),
        ("Sources/Dev", shutil.rmtree, "Sources/Dev/051 - X: no such folder, expected as "),
        ("Mixtures/Test/001 - Y", shutil.rmtree, "Mixtures/Test/001 - Y: no such folder, expected as "),
        (
            f"{X}/drums.wav",
            lambda p: p.write_bytes(b""),
            f"{X}/drums.wav: is empty (0 bytes), expected an audio",
        ),
        (f"{X}/drums.wav", lambda p: p.write_text("x" * 99), f"{X}/drums.wav: cannot be read as audio ("),
        (
            f"{X}/drums.flac",
            lambda p: (p.with_suffix(".wav").unlink(), p.symlink_to("gone")),
            f"{X}/drums.flac: is a broken link, expected an audio file",
        ),
        (
            "Sources/Dev/link",
            lambda p: p.symlink_to("gone"),
            "Sources/Dev/link: is a broken link, expected a track",
        ),
        ("train", os.mkdir, "folders of both DSD100 and MUSDB18-HQ, expected DSD100's folders Mixtures and"),
    ],
)
def test_faults_found_from_headers(dsd100, at, do, text):
    do(dsd100 / at)
    with pytest.raises(InputError) as error:
        find_tracks(dsd100)
    assert text in str(error.value)
    assert str(error.value).startswith(f"{dsd100}")
    assert "\n" not in str(error.value)


def test_all_bad_songs_are_named_at_once(dsd100):
    shutil.rmtree(dsd100 / "Sources")
    with pytest.raises(InputErrors) as error:
        find_tracks(dsd100)
    about, *lines = str(error.value).splitlines()
    assert about == "2 of 2 songs cannot be used; expected others:"
    for line, name in zip(lines, ("051 - X", "001 - Y"), strict=True):
        assert f"{name}: no such folder, expected as " in line


def test_a_part_may_be_missing_and_is_said(tmp_path):
    """The mixture less the voice is the accompaniment."""
    write_set(tmp_path, "MUSDB18-HQ", [("test", "A")])
    (tmp_path / "test/A/drums.wav").unlink()
    found = find_songs(tmp_path)
    assert found.tracks[0].stems == ("vocals", "bass", "other")
    assert found.lines() == ["A: no drums beside the other parts"]


def test_folders_that_are_no_data_set(tmp_path):
    looked_for = "expected DSD100's folders Mixtures and Sources or MUSDB18-HQ's folders train and test$"
    with pytest.raises(InputError, match=r"gone: no such folder, expected the folder of DSD100 or MUSDB18-HQ$"):
        find_tracks(tmp_path / "gone")
    with pytest.raises(InputError, match=rf"found nothing, {looked_for}"):
        find_tracks(tmp_path)
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf"found a, b, c, d, e, f and 2 more, {looked_for}"):
        find_tracks(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file, expected the folder of DSD100"):
        find_tracks(tmp_path / "file")
    (tmp_path / "a" / "train").mkdir()
    (tmp_path / "a" / "train" / "song.mp4").touch()
    with pytest.raises(InputError, match=r"a: no tracks, expected a folder for each track in train or test$"):
        find_tracks(tmp_path)
    (tmp_path / "b" / "Mixtures" / "Dev").mkdir(parents=True)
    with pytest.raises(InputError, match=r"b: no tracks, .* in Mixtures/Dev and Mixtures/Test$"):
        find_tracks(tmp_path / "b")
    with pytest.raises(InputError, match=r"several data sets \(a, b\), expected one of them$"):
        find_tracks(tmp_path)


def test_faults_found_when_reading(dsd100):
    track = find_tracks(dsd100)[1]
    bad_NC = stems_NC()["vocals"]
    bad_NC[100, 0] = np.nan
    soundfile.write(dsd100 / X / "vocals.wav", bad_NC, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=r"vocals\.wav: 1 NaN or infinite samples, the first at 0\.012500 s"):
        track.read()
    with pytest.raises(InputError, match=r"vocals\.wav: 1 NaN or infinite samples"):
        track.fingerprint()
    write_audio(dsd100 / X / "vocals.wav", stems_NC(1201)["vocals"], RATE)
    before = "8000 Hz, 2 channels, 400 samples"
    with pytest.raises(InputError, match=rf"2 channels, 1201 samples, expected {before} as it was when found$"):
        track.read()


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_the_corpus():
    """A rendered mixture is the sum of its stems within 3 codes of 16 bits, except where a stem is clipped."""
    tracks = find_tracks(CORPUS)
    assert [t.split for t in tracks] == ["train", "train", "test", "test"]
    for track in tracks:
        audio = track.read()
        assert audio.mixture_NC.shape == (round(track.duration_s * 44100), 2)
        error_N = np.abs(sum(audio.stems_NC.values()) - audio.mixture_NC).max(axis=1)
        clipped_N = np.any([np.abs(x_NC).max(axis=1) >= 1 - 2**-15 for x_NC in audio.stems_NC.values()], axis=0)
        if "Rendered" in track.name:
            assert error_N[~clipped_N].max() <= 3 / 2**15
            assert clipped_N.sum() < 10
