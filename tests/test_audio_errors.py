"""Every way in which a sound file is refused, with its text."""

import os
import resource
import sys

import numpy as np
import pytest

from madsep_jax.audio import probe_audio, read_audio, resample, write_audio
from madsep_jax.errors import InputError

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 44100


def noise_NC(n=5000, channels=2, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (n, channels)).astype(np.float32)


def write_raw(path, samples_NC, **options):
    """Write past `write_audio`'s checks."""
    sf.write(path, samples_NC, RATE, **options)
    return path


def assert_one_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


@pytest.mark.parametrize("use", [read_audio, probe_audio])
@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.touch(), "is empty (0 bytes)"),
        (lambda p: p.symlink_to(p.parent / "gone"), "is a broken link"),
        (lambda p: p.write_text("not a sound\n" * 50), "cannot be read as audio (Format not recognised)"),
        (lambda p: p.write_bytes(b"not a film" * 100), "cannot be read as audio (Format not recognised)"),
        (lambda p: p.write_bytes(b"\0\0\0\x18ftypM4A " + bytes(500)), "cannot be read as audio (the index is missing"),
        (lambda p: p.write_bytes(b"RIFF\x04\0\0\0WAVE"), "cannot be read as audio (Error in WAV file."),
    ],
)
def test_not_a_sound_file(tmp_path, use, make, found):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(InputError) as error:
        use(path)
    assert_one_line(error, f"{path}: {found}", "expected an audio file (wav, flac, ogg, mp3, m4a)")


def test_raw_files_and_pipes_and_line_breaks_in_names(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "a.raw").write_bytes(bytes(100))
    for name, found in {"pipe.wav": "is not a regular file", "a.raw": "cannot be read as audio"}.items():
        with pytest.raises(InputError, match=found):
            read_audio(tmp_path / name)
    with pytest.raises(InputError) as error:
        read_audio(tmp_path / "two\nlines.wav")
    assert_one_line(error, r"two\nlines.wav': no such file")


@pytest.mark.parametrize("use", [read_audio, probe_audio])
def test_no_samples(tmp_path, use):
    path = write_raw(tmp_path / "a.wav", np.zeros((0, 2), np.float32))
    with pytest.raises(InputError, match=r"a\.wav: 0 samples, expected at least one$"):
        use(path)


def test_non_finite_samples_are_counted_and_placed(tmp_path):
    x_NC = noise_NC(RATE)
    x_NC[22050, 1] = np.nan
    x_NC[30000] = [np.inf, -np.inf]
    path = write_raw(tmp_path / "a.wav", x_NC, subtype="FLOAT")
    with pytest.raises(InputError, match=r"a\.wav: 3 NaN or infinite samples, the first at 0\.500000 s, expected"):
        read_audio(path)
    with pytest.raises(InputError, match=r"3 NaN or infinite samples, the first at 0\.500000 s"):
        read_audio(path, start=20000)
    assert read_audio(path, frames=22050).samples_NC.shape == (22050, 2)
    assert probe_audio(path).frames == RATE


def test_failed_writes_leave_nothing_and_keep_the_older_file(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, noise_NC(), RATE)
    before = path.read_bytes()
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InputError, match=r"gone/a\.wav: cannot be written \(No such file or directory\)"):
        write_audio(tmp_path / "gone" / "a.wav", noise_NC(), RATE)
    with pytest.raises(InputError, match=r"a\.wav/b\.wav: cannot be written \(Not a directory\), expected room"):
        write_audio(path / "b.wav", noise_NC(), RATE)
    with pytest.raises(InputError, match=r"folder\.wav: cannot be written \(Is a directory\)"):
        write_audio(tmp_path / "folder.wav", noise_NC(), RATE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # what a full disk does: the write stops half-way
    try:
        with pytest.raises(InputError, match=r"a\.wav: cannot be written \(File too large\)"):
            write_audio(path, noise_NC(50000), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "folder.wav"]
    assert path.read_bytes() == before


def test_what_a_format_cannot_hold(tmp_path):
    for name, options, text in [
        ("a.xyz", {}, r"a\.xyz: unknown audio format 'XYZ', expected for example wav, flac, ogg, mp3$"),
        ("a", {}, r"a: unknown audio format ''"),
        ("a.raw", {}, r"a\.raw: unknown audio format 'RAW'"),
        ("a.wav", {"subtype": "PCM16"}, r"a\.wav: WAV has no subtype 'PCM16', did you mean 'PCM_16'\?$"),
        ("a.flac", {"subtype": "FLOAT"}, r"a\.flac: FLAC has no subtype 'FLOAT'"),
        ("a.mp3", {}, r"a\.mp3: 2 channels at 12345 Hz, expected what MP3 can hold \(MPEG-1/2/2\.5 only"),
    ]:
        with pytest.raises(InputError, match=text):
            write_audio(tmp_path / name, noise_NC(), 12345, **options)
    assert not list(tmp_path.iterdir())


def test_programming_errors(tmp_path):
    nan_NC = noise_NC()
    nan_NC[3, 1] = np.nan
    for samples_NC, rate, text in [
        (nan_NC, RATE, r"shape \(5000, 2\): expected at least one, all finite"),
        (np.zeros((0, 2), np.float32), RATE, "expected at least one"),
        (np.zeros(5, np.float32), RATE, r"float32 \(5,\): expected float \(samples N, channels C\)"),
        (np.zeros((5, 1), np.int16), RATE, r"int16 \(5, 1\): expected float"),
        (noise_NC(), 44100.0, r"sample_rate=44100\.0: expected a positive integer in Hz"),
        (noise_NC(), 0, "sample_rate=0: expected a positive integer"),
        (noise_NC(), True, "sample_rate=True: expected a positive integer"),
    ]:
        with pytest.raises(ValueError, match=text) as error:
            write_audio(tmp_path / "a.wav", samples_NC, rate)  # type: ignore[arg-type]
        assert not isinstance(error.value, InputError)
    with pytest.raises(ValueError, match="to_rate=-1: expected a positive integer"):
        resample(noise_NC(), RATE, -1)
    assert not list(tmp_path.iterdir())


def test_without_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_audio(path, noise_NC(), RATE)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setitem(sys.modules, "soxr", None)
    monkeypatch.setitem(sys.modules, "av", None)
    for use in (
        lambda: read_audio(path),
        lambda: probe_audio(path),
        lambda: write_audio(path, noise_NC(), RATE),
    ):
        with pytest.raises(InputError, match=r'package soundfile: pip install "madsep-jax\[audio\]"$'):
            use()
    (tmp_path / "a.mp3").write_bytes(b"ID3" + bytes(50))
    with pytest.raises(InputError, match=r'package av: pip install "madsep-jax\[audio\]"$'):
        read_audio(tmp_path / "a.mp3")
    with pytest.raises(InputError, match=r'package soxr: pip install "madsep-jax\[audio\]"$'):
        resample(noise_NC(), RATE, 16000)
    assert resample(noise_NC(), RATE, RATE).shape == (5000, 2)
