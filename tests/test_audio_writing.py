"""Files that are written block by block. Oracles: the same samples written at once, and what FFmpeg reads of them."""

import os
import resource

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("soundfile")

from encoded import RATE, chirps_NC

from madsep_jax.audio import open_audio, open_writer, read_audio, write_audio
from madsep_jax.errors import InputError

X_NC = chirps_NC()
TAGS = {"title": "Tïtle", "artist": "A", "album": "B", "date": "2020", "tracknumber": "3", "genre": "Pop"}


def write_in_blocks(path, samples_NC, channels=2, block=7777, **options):
    with open_writer(path, RATE, channels, **options) as writer:
        for at in range(0, len(samples_NC), block):
            writer.write(samples_NC[at : at + block])
    return path


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        *(("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("flac", "PCM_24")),
        *(("mp3", None), ("ogg", None)),
    ],
)
def test_blocks_give_the_file_of_the_whole(tmp_path, format, subtype):
    x_NC = 1.2 * X_NC.astype(np.float64)
    write_audio(tmp_path / f"whole.{format}", x_NC, RATE, subtype=subtype)
    write_in_blocks(tmp_path / f"blocks.{format}", x_NC, subtype=subtype)
    whole, blocks = (read_audio(tmp_path / f"{name}.{format}", strict=True) for name in ("whole", "blocks"))
    # Vorbis's blocks follow those that it is given: as good, but not the same.
    np.testing.assert_allclose(blocks.samples_NC, whole.samples_NC, rtol=0, atol=0.02 if format == "ogg" else 0)
    assert len(blocks.samples_NC) == len(x_NC)


@pytest.mark.parametrize("bitrate", [96, 192, 320])
def test_bit_rates(tmp_path, bitrate):
    """Of mp3 to 3 %, its first and last frame included; ogg's is an average over music, and noise takes more."""
    noise_NC = np.random.default_rng(0).uniform(-0.5, 0.5, (5 * RATE, 2)).astype(np.float32)
    mp3 = write_in_blocks(tmp_path / "a.mp3", X_NC.repeat(5, axis=0), bitrate=bitrate)
    assert mp3.stat().st_size * 8 / 5 / 1000 == pytest.approx(bitrate, rel=0.03)
    ogg = write_in_blocks(tmp_path / "a.ogg", noise_NC, bitrate=bitrate)
    assert ogg.stat().st_size * 8 / 5 / 1000 == pytest.approx(bitrate, rel=0.5)


def test_bit_rates_that_cannot_be(tmp_path):
    for name, bitrate, text in (
        ("a.mp3", 16, r"a\.mp3: found 16 kbit/s, expected 32 to 320 for MP3 at 44100 Hz$"),
        ("a.ogg", 1000, r"a\.ogg: found 1000 kbit/s, expected 64 to 500 for OGG"),
        ("a.flac", 128, r"a\.flac: found a bit rate of 128 kbit/s, expected none for FLAC$"),
    ):
        with pytest.raises(InputError, match=text):
            write_in_blocks(tmp_path / name, X_NC, bitrate=bitrate)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_tags_are_kept(tmp_path, format):
    path = write_in_blocks(tmp_path / f"a.{format}", X_NC, tags={**TAGS, "unheard of": "x"})
    with open_audio(path) as reader:
        assert reader.tags == TAGS


@pytest.mark.parametrize("layout", ["5.1", "5.1(side)", "hexagonal", None, "6 channels", "nonsense"])
def test_wav_keeps_the_places_of_channels(tmp_path, layout):
    x_NC = X_NC[:, :1] * np.linspace(0.9, 0.3, 6, dtype=np.float32)
    path = write_in_blocks(tmp_path / "a.wav", x_NC, 6, layout=layout, subtype="FLOAT")
    with open_audio(path) as reader:
        assert reader.layout == (layout if layout in ("5.1", "5.1(side)", "hexagonal") else None)
    np.testing.assert_array_equal(read_audio(path).samples_NC, x_NC)


@pytest.mark.parametrize("format", ["ogg", "flac"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8])
def test_channels_keep_their_order(tmp_path, format, channels):
    """FFmpeg reads them in the order of wav; what is for the lowest tones alone loses most of these."""
    gains = np.linspace(0.9, 0.2, channels, dtype=np.float32)
    path = write_in_blocks(tmp_path / f"a.{format}", X_NC[:, :1] * gains, channels)
    audio = read_audio(path)
    found = audio.samples_NC.std(axis=0) / X_NC[:, 0].std()
    low = [3] if format == "ogg" and channels in (6, 8) else []
    np.testing.assert_allclose(np.delete(found, low), np.delete(gains, low), rtol=0, atol=0.03)


def test_wav_files_beyond_4_gib_are_rf64(tmp_path, monkeypatch):
    """By the length that is told in advance."""
    path = write_in_blocks(tmp_path / "a.wav", X_NC, subtype="PCM_16", frames=2**30)
    audio = read_audio(path)
    assert (audio.format, len(audio.samples_NC)) == ("RF64", len(X_NC))
    monkeypatch.setattr("madsep_jax.audio.writing._MOST_BYTES", 100_000)
    with pytest.raises(InputError, match=r"a\.wav: longer than the 4 GiB that a wav file holds"):
        write_in_blocks(path, X_NC, subtype="PCM_16")
    assert read_audio(path).format == "RF64"


def test_samples_that_are_no_samples(tmp_path):
    bad_NC = X_NC.copy()
    bad_NC[5] = np.nan
    for samples_NC in (bad_NC, X_NC[:, :1], (X_NC * 1000).astype(np.int16), X_NC[:, 0]):
        with pytest.raises(ValueError, match="expected"):
            write_in_blocks(tmp_path / "a.wav", samples_NC)
    write_in_blocks(tmp_path / "a.wav", np.full((3, 2), 1e30), subtype="PCM_24")
    assert read_audio(tmp_path / "a.wav").samples_NC.max() == 1 - 2.0**-23


def write_and_raise(path, error):
    with open_writer(path, RATE, 2) as writer:
        writer.write(X_NC)
        raise error


def test_what_fails_within_leaves_nothing_and_is_not_taken_for_the_disk(tmp_path):
    write_in_blocks(tmp_path / "a.wav", X_NC)
    before = (tmp_path / "a.wav").read_bytes()
    for error in (OSError(5, "Input/output error"), KeyboardInterrupt(), InputError("a line")):
        with pytest.raises(type(error)) as raised:
            write_and_raise(tmp_path / "a.wav", error)
        assert raised.value is error
        assert os.listdir(tmp_path) == ["a.wav"]
        assert (tmp_path / "a.wav").read_bytes() == before


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk_is_one_line_wherever_the_encoder_is(tmp_path, format, capfd):
    """Also where no more than the very end finds no room, which libsndfile does not report."""
    noise_NC = np.random.default_rng(0).uniform(-0.9, 0.9, (20000, 2)).astype(np.float32)
    path = write_in_blocks(tmp_path / f"a.{format}", noise_NC, block=4096)
    size, before = path.stat().st_size, path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (10_000, size // 2, size - 100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # what a full disk does: the write stops half-way
        try:
            with pytest.raises(InputError) as error:
                write_in_blocks(path, noise_NC, block=4096)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(error.value) == f"{path}: cannot be written (File too large), expected room for it"
        assert os.listdir(tmp_path) == [path.name]
        assert path.read_bytes() == before
    assert capfd.readouterr() == ("", "")
