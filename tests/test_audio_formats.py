"""Containers and codecs by their content. Oracles: what was encoded, and the lengths that FFmpeg's command decodes.

Lossless codecs return the samples to a step, for some encoders round down. Lossy ones without a container that states
the encoder's delay begin with that delay, as by FFmpeg's command: 1024 samples of aac, 1105 of mp3, 256 of ac3.
"""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")
sf = pytest.importorskip("soundfile")

from encoded import RATE, chirps_NC, encode, filling_left_out, lag, piped

from madsep_jax.audio import open_audio, probe_audio, read_audio
from madsep_jax.errors import InputError

SHARED = Path(__file__).parents[2] / "shared"
CASES, CORPUS = SHARED / "cases" / "audio", SHARED / "corpus"
EXPECTED = list(csv.DictReader((CASES / "expected.csv").read_text().splitlines())) if CASES.is_dir() else []
needs_cases = pytest.mark.skipif(not EXPECTED, reason="the cases are not here")
X_NC = chirps_NC()


@needs_cases
@pytest.mark.parametrize("row", EXPECTED, ids=[row["file"] for row in EXPECTED])
def test_every_file_has_the_length_that_ffmpeg_decodes(row):
    audio = read_audio(CASES / row["file"])
    found = (audio.sample_rate, audio.samples_NC.shape[1], len(audio.samples_NC))
    assert found == (int(row["rate"]), int(row["channels"]), int(row["samples"]) - filling_left_out(row["file"]))
    info = probe_audio(CASES / row["file"])
    assert (info.sample_rate, info.channels) == found[:2]
    if not audio.missing:
        assert info.frames == found[2]


# What is lossless, and the step of its samples.
@pytest.mark.parametrize(
    ("codec", "container", "samples", "kind", "step"),
    [
        ("alac", "ipod", "s16p", ("MP4", "ALAC_16"), 2**-15),
        ("alac", "ipod", "s32p", ("MP4", "ALAC_24"), 2**-23),
        ("pcm_u8", "mov", None, ("MP4", "PCM_U8"), 2**-7),
        ("pcm_s24le", "mov", None, ("MP4", "PCM_24"), 2**-23),
        ("pcm_s64le", "nut", None, ("NUT", "PCM_32"), 2**-31),
        ("pcm_f32le", "mov", None, ("MP4", "FLOAT"), 0),
        ("pcm_f64le", "mov", None, ("MP4", "DOUBLE"), 0),
        ("flac", "flac", "s16", ("FLAC", "PCM_16"), 2**-15),
        ("flac", "flac", "s32", ("FLAC", "PCM_24"), 2**-23),
        ("flac", "ogg", "s16", ("OGG", "PCM_16"), 2**-15),
        ("flac", "matroska", "s16", ("MATROSKA", "PCM_16"), 2**-15),
        ("wavpack", "wv", "s16p", ("WV", "PCM_16"), 2**-15),
        ("wavpack", "wv", "fltp", ("WV", "FLOAT"), 0),
        ("tta", "tta", "s16", ("TTA", "PCM_16"), 2**-15),
        ("pcm_s24be", "caf", None, ("CAF", "PCM_24"), 2**-23),
        ("pcm_s24le", "w64", None, ("W64", "PCM_24"), 2**-23),
        ("pcm_s16le", "nut", None, ("NUT", "PCM_16"), 2**-15),
    ],
)
def test_lossless_codecs_keep_samples_and_depth(tmp_path, codec, container, samples, kind, step):
    path = encode(tmp_path / "song", codec, container, X_NC, samples=samples)
    audio = read_audio(path)
    assert (audio.format, audio.subtype, audio.missing) == (*kind, ())
    np.testing.assert_allclose(audio.samples_NC, X_NC, rtol=0, atol=step + 2**-25)


@pytest.mark.parametrize(
    ("codec", "container", "rate", "delay", "subtype"),
    [
        ("aac", "ipod", RATE, 0, "AAC"),
        ("aac", "mov", RATE, 0, "AAC"),
        ("aac", "matroska", RATE, 0, "AAC"),
        ("aac", "adts", RATE, 1024, "AAC"),
        ("aac", "mpegts", RATE, 1024, "AAC"),
        ("libmp3lame", "mp3", RATE, 0, "MPEG_LAYER_III"),
        ("libmp3lame", "wav", RATE, 1105, "MPEG_LAYER_III"),
        ("libopus", "webm", 48000, 0, "OPUS"),
        ("libopus", "ogg", 48000, 0, "OPUS"),
        ("ac3", "ac3", RATE, 256, "AC3"),
    ],
)
def test_lossy_codecs_come_back_in_their_place(tmp_path, codec, container, rate, delay, subtype):
    path = encode(tmp_path / "song.txt", codec, container, X_NC, rate=rate, bit_rate=128_000)
    audio = read_audio(path)
    assert (audio.sample_rate, audio.subtype, audio.missing) == (rate, subtype, ())
    assert len(X_NC) <= len(audio.samples_NC) <= len(X_NC) + 3 * 1152
    found = lag(audio.samples_NC[:, 0], X_NC[:, 0])
    assert found == delay
    n = min(len(audio.samples_NC) - found, len(X_NC)) - 2048
    for channel in range(2):
        pair = audio.samples_NC[found : found + n, channel], X_NC[:n, channel]
        assert np.corrcoef(*pair)[0, 1] > 0.99


def test_wma(tmp_path):
    """FFmpeg's encoder begins within the sound; the lengths of its blocks are 2048."""
    audio = read_audio(encode(tmp_path / "a.wma", "wmav2", "asf", X_NC, bit_rate=128_000))
    assert (audio.sample_rate, audio.format, audio.subtype, audio.missing) == (RATE, "ASF", "WMAV2", ())
    assert abs(len(audio.samples_NC) - len(X_NC)) <= 2048
    assert abs(lag(audio.samples_NC[:, 0], X_NC[:, 0])) <= 4096


@pytest.mark.parametrize("kind", ["GSM610", "G721_32", "IMA_ADPCM", "ULAW", "ALAC_24"])
def test_what_libsndfile_alone_writes(tmp_path, kind):
    x_NC, container = (X_NC[:, :1], "WAV") if kind != "ALAC_24" else (X_NC, "CAF")
    sf.write(tmp_path / "a", x_NC, RATE, kind, format=container)
    audio = read_audio(tmp_path / "a")
    assert audio.subtype == kind
    assert 0 <= len(audio.samples_NC) - len(X_NC) < 2048
    assert np.corrcoef(audio.samples_NC[: len(X_NC), 0], x_NC[:, 0])[0, 1] > 0.98
    np.testing.assert_array_equal(read_audio(tmp_path / "a", start=20000).samples_NC, audio.samples_NC[20000:])


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        *(("pcm_s16le", "wav"), ("pcm_s16le", "w64"), ("pcm_s16le", "caf"), ("pcm_s16be", "au"), ("flac", "flac")),
        *(("flac", "matroska"), ("libmp3lame", "mp3")),
    ],
)
def test_files_from_a_pipe_state_no_length_and_are_whole(tmp_path, codec, container):
    path = piped(tmp_path / "song", codec, container, X_NC)
    audio = read_audio(path)
    assert audio.missing == ()
    delay = 1105 if container == "mp3" else 0
    assert lag(audio.samples_NC[:, 0], X_NC[:, 0]) == delay
    assert 0 <= len(audio.samples_NC) - delay - len(X_NC) < 1152
    assert probe_audio(path).frames == len(audio.samples_NC)


@pytest.mark.parametrize(("codec", "container"), [("aac", "ipod"), ("pcm_s16le", "wav"), ("libmp3lame", "mp3")])
@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.m4a", "a", os.fsdecode(b"caf\xe9 \xff.mp3")])
def test_a_name_says_nothing(tmp_path, codec, container, name):
    path = encode(tmp_path / "named.well", codec, container, X_NC).rename(tmp_path / name)
    audio = read_audio(path)
    assert lag(audio.samples_NC[:, 0], X_NC[:, 0]) == 0
    with open_audio(path) as reader:
        assert reader.layout == "stereo"


def test_no_file_leads_to_another(tmp_path):
    """A list of files is no sound, though FFmpeg would read what it names."""
    encode(tmp_path / "a.ts", "aac", "mpegts", X_NC)
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{tmp_path}/a.ts\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {tmp_path}/a.ts\n",
    ):
        (tmp_path / "list.wav").write_text(text)
        with pytest.raises(InputError, match=r"list\.wav: cannot be read as audio"):
            read_audio(tmp_path / "list.wav")


def test_streams_of_one_file(tmp_path):
    path = encode(tmp_path / "two.mp4", "alac", "mp4", X_NC, samples="s32p", streams=2)
    first_NC = read_audio(path, stream=0).samples_NC
    np.testing.assert_allclose(first_NC, X_NC, rtol=0, atol=2**-23)
    np.testing.assert_allclose(read_audio(path, stream=1).samples_NC, X_NC / 2, rtol=0, atol=2**-23)
    np.testing.assert_array_equal(read_audio(path).samples_NC, first_NC)
    with open_audio(path, stream=1) as reader:
        assert (reader.info.sample_rate, reader.about_s) == (RATE, len(X_NC) / RATE)
    with pytest.raises(InputError, match=r"two\.mp4: cannot be read .*found 2 sound streams, expected 3"):
        read_audio(path, stream=2)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_the_first_stream_of_a_stem_file_is_the_mixture():
    decoded = read_audio(CORPUS / "Music Delta - 80s Rock.stem.mp4", strict=True)
    wav = read_audio(CORPUS / "Mixtures" / "Test" / "003 - Music Delta - 80s Rock" / "mixture.wav")
    length = len(decoded.samples_NC)
    assert 0 <= len(wav.samples_NC) - length < 1024  # newer decoders cut the padding of the last block off
    assert np.abs(decoded.samples_NC - wav.samples_NC[:length]).max() < 2 / 32768  # the wav has 16 bits


@pytest.mark.parametrize("channels", [1, 6, 8, 12])
def test_many_channels(tmp_path, channels):
    """Eight planes and more are where PyAV looks for one too many."""
    x_NC = np.linspace(0.9, 0.2, channels, dtype=np.float32) * X_NC[:, :1]
    path = encode(tmp_path / "a.wv", "wavpack", "wv", x_NC, samples="fltp")
    np.testing.assert_array_equal(read_audio(path).samples_NC[: len(x_NC)], x_NC)


def test_blocks_and_ranges_are_those_of_the_whole(tmp_path):
    encode(tmp_path / "a.m4a", "aac", "ipod", X_NC)
    sf.write(tmp_path / "a.wav", X_NC, RATE)
    for name in ("a.m4a", "a.wav"):
        whole_NC = read_audio(tmp_path / name).samples_NC
        with open_audio(tmp_path / name) as reader:
            for _ in range(2):  # again from the beginning
                blocks = list(reader.blocks(10000))
                assert {len(block_NC) for block_NC in blocks[:-1]} == {10000}
                np.testing.assert_array_equal(np.concatenate(blocks), whole_NC)
        with open_audio(tmp_path / name, 0.25, 0.5) as reader:
            part_NC = np.concatenate(list(reader.blocks(4000)))
        np.testing.assert_array_equal(part_NC, whole_NC[RATE // 4 : RATE // 4 + RATE // 2])
        with pytest.raises(InputError, match=rf"{len(whole_NC)} samples, expected more than 88200$"):
            list(reader_blocks(tmp_path / name, 2.0))


def reader_blocks(path, start_s):
    with open_audio(path, start_s) as reader:
        yield from reader.blocks(1000)


def test_tags(tmp_path):
    tags = {"title": "Tïtle", "artist": "A", "album": "B", "date": "2020", "track": "3"}
    expected = {"title": "Tïtle", "artist": "A", "album": "B", "date": "2020", "tracknumber": "3"}
    for codec, container in (("aac", "ipod"), ("libmp3lame", "mp3"), ("flac", "flac"), ("flac", "ogg")):
        with open_audio(encode(tmp_path / container, codec, container, X_NC, tags=tags)) as reader:
            assert reader.tags == expected, container


def test_tags_that_are_not_utf8(tmp_path):
    path = encode(tmp_path / "a", "libmp3lame", "mp3", X_NC, tags={"title": "abcdefgh"})
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"ab\xe9efgh"))
    with open_audio(path) as reader:
        assert reader.tags == {"title": "ab\ufffdefgh"}


def test_no_library_writes_on_the_terminal(tmp_path, capfd):
    """libmpg123 and FFmpeg would, on the descriptor itself."""
    mp3 = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", X_NC).read_bytes()
    (tmp_path / "hole.mp3").write_bytes(mp3[: len(mp3) // 2] + bytes(800) + mp3[len(mp3) // 2 + 800 :] + mp3[:300])
    (tmp_path / "half.mp3").write_bytes(mp3[: len(mp3) // 2])
    sf.write(tmp_path / "a.wav", X_NC, RATE)
    (tmp_path / "half.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:99999])
    sf.write(tmp_path / "a.sds", X_NC[:, :1], RATE)
    sds = (tmp_path / "a.sds").read_bytes()
    (tmp_path / "hole.sds").write_bytes(sds[: len(sds) // 2] + b"\xff" * 900 + sds[len(sds) // 2 + 900 :])
    encode(tmp_path / "mp3.wav", "libmp3lame", "wav", X_NC)
    (tmp_path / "none.ogg").write_bytes(b"OggS" * 1000)
    (tmp_path / "none.mp3").write_bytes(b"ID3" + b"no sound" * 1000)
    capfd.readouterr()
    for path in sorted(tmp_path.iterdir()):
        try:
            read_audio(path)
        except InputError:
            assert path.stem == "none"
    assert capfd.readouterr() == ("", "")
