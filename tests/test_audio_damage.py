"""Files that end early, have a hole, or were joined: what can be decoded is there, and what is missing is told.

Oracles: the samples before the damage are those of the whole file, and what is missing adds up to its length.
"""

import struct

import numpy as np
import pytest

av = pytest.importorskip("av")
sf = pytest.importorskip("soundfile")

from encoded import RATE, chirps_NC, cut, encode, lag, with_hole

from madsep_jax.audio import Missing, missing_line, open_audio, read_audio
from madsep_jax.errors import InputError

LONG_NC = chirps_NC(10.0)
LONG_S = 10.0
PYAV = int(av.__version__.split(".")[0])


def by_libsndfile(format, subtype):
    return lambda path: sf.write(path, LONG_NC, RATE, subtype, format=format)


def by_ffmpeg(codec, container, **options):
    return lambda path: encode(path, codec, container, LONG_NC, **options)


#: What states its length, and what only says where it ends (or, adts, not even that).
MAKERS = {
    "wav": by_libsndfile("WAV", "PCM_16"),
    "wav24": by_libsndfile("WAVEX", "PCM_24"),
    "rf64": by_libsndfile("RF64", "PCM_16"),
    "w64": by_libsndfile("W64", "PCM_16"),
    "aiff": by_libsndfile("AIFF", "PCM_16"),
    "au": by_libsndfile("AU", "PCM_16"),
    "flac": by_libsndfile("FLAC", "PCM_16"),
    "mp3": by_ffmpeg("libmp3lame", "mp3"),
    "mkv": by_ffmpeg("aac", "matroska"),
    "mp4": by_ffmpeg("aac", "mp4", movflags="faststart"),
    "wv": by_ffmpeg("wavpack", "wv"),
    "avi": by_ffmpeg("pcm_s16le", "avi"),
    "avi mp3": by_ffmpeg("libmp3lame", "avi"),
    "voc": by_libsndfile("VOC", "PCM_16"),
    "wma": by_ffmpeg("wmav2", "asf", bit_rate=128000),
    "flv": by_ffmpeg("aac", "flv"),
    "rm": by_ffmpeg("ac3", "rm"),
    "film": by_ffmpeg("aac", "matroska", streams=2),
    "vorbis": by_libsndfile("OGG", "VORBIS"),
    "opus": by_ffmpeg("libopus", "ogg", rate=48000),
    "caf": by_libsndfile("CAF", "PCM_16"),
    "adts": by_ffmpeg("aac", "adts"),
    "nothing but frames": by_ffmpeg("libmp3lame", "mp3", write_xing="0"),
    "mp2": by_ffmpeg("mp2", "mp2", samples="s16"),
    "ac3": by_ffmpeg("ac3", "ac3"),
    "eac3": by_ffmpeg("eac3", "eac3"),
    "ts": by_ffmpeg("aac", "mpegts"),
    "mpg": by_ffmpeg("mp2", "mpeg", samples="s16"),
    "voc8": by_ffmpeg("pcm_u8", "voc"),
}
STATING = list(MAKERS)[:18]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_file_that_ends_early(tmp_path, kind):
    path = tmp_path / "song"
    MAKERS[kind](path)
    whole = read_audio(path, strict=True)
    assert whole.missing == ()
    audio = read_audio(cut(path))
    decoded_s = len(audio.samples_NC) / audio.sample_rate
    assert 0.45 * LONG_S < decoded_s < 0.7 * LONG_S
    inside = slice(0, len(audio.samples_NC) - 4096)  # a lossy codec's last block fades
    np.testing.assert_allclose(audio.samples_NC[inside], whole.samples_NC[inside], rtol=0, atol=1e-6)
    missing = audio.missing[-1]
    assert missing.at_s == pytest.approx(decoded_s)
    if kind in STATING:
        missing_s = sum(part.seconds for part in audio.missing)
        assert missing_s == pytest.approx(len(whole.samples_NC) / whole.sample_rate - decoded_s, abs=0.06)
    with pytest.raises(InputError, match=rf"song: damaged, or ends early; missing: .* at {decoded_s:.2f} s; expected"):
        read_audio(path, strict=True)


@pytest.mark.parametrize(("kind", "lost_s"), [("flac", 0.2), ("mp3", 0.2), ("mp4", 0.2), ("adts", 0.2), ("ogg", 1.5)])
def test_a_hole(tmp_path, kind, lost_s):
    path = tmp_path / "song"
    MAKERS["vorbis" if kind == "ogg" else kind](path)
    whole = read_audio(path)
    audio = read_audio(with_hole(path))
    lost = len(whole.samples_NC) - len(audio.samples_NC)
    assert 0 < lost < lost_s * RATE
    before, after = 3 * RATE, round(7.5 * RATE)
    np.testing.assert_allclose(audio.samples_NC[:before], whole.samples_NC[:before], rtol=0, atol=1e-6)
    # What follows is there, earlier by what is missing; of an mp3 FFmpeg then leaves more of the encoder's padding.
    assert abs(lag(audio.samples_NC[after - lost :, 0], whole.samples_NC[after:, 0])) <= (1152 if kind == "mp3" else 0)
    if not (kind == "adts" and PYAV >= 19):  # which goes on behind it, and says not how much it has passed over
        assert sum(part.seconds for part in audio.missing) == pytest.approx(lost / RATE, abs=0.06)
    assert all(part.at_s == pytest.approx(5.0, abs=1.5) for part in audio.missing)
    assert len(audio.missing) in (1, 2)


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
@pytest.mark.parametrize("page", [3, -1])
def test_a_damaged_first_or_last_page_of_an_ogg_is_told(tmp_path, kind, page):
    """The decoders pass over a page whose checksum is wrong, here of the first sound behind two heads, or the last."""
    path = tmp_path / "song"
    MAKERS[kind](path)
    whole = read_audio(path, strict=True)
    pages = path.read_bytes().split(b"OggS")
    pages[page] = pages[page][:-1] + bytes([pages[page][-1] ^ 1])
    path.write_bytes(b"OggS".join(pages))
    audio = read_audio(path)
    found, lost = len(audio.samples_NC), len(whole.samples_NC) - len(audio.samples_NC)
    (missing,) = audio.missing
    assert lost > 0
    assert missing.at_s == pytest.approx(0 if page == 3 else found / audio.sample_rate)
    assert missing.seconds == pytest.approx(lost / audio.sample_rate, abs=0.06)


@pytest.mark.parametrize("kind", ["vorbis", "opus", "ogg flac"])
def test_pages_that_are_gone_from_an_ogg_or_a_chain_of_them(tmp_path, kind):
    """Each page of sound in turn; only where the last one of all goes does nothing say how much."""
    path, make = tmp_path / "song", by_ffmpeg("flac", "ogg", samples="s16") if kind == "ogg flac" else MAKERS[kind]
    make(path)
    one = path.read_bytes().split(b"OggS")[1:]
    for pages in (one, one + one):
        path.write_bytes(b"".join(b"OggS" + page for page in pages))
        whole = read_audio(path, strict=True)
        for page in range(2, len(pages)):
            if page % len(one) < 2:
                continue  # what a decoder must have
            path.write_bytes(b"".join(b"OggS" + other for number, other in enumerate(pages) if number != page))
            audio = read_audio(path)
            lost_s = (len(whole.samples_NC) - len(audio.samples_NC)) / audio.sample_rate
            (missing,) = audio.missing
            at_s, is_end = missing.at_s, page % len(one) == len(one) - 1
            assert missing.seconds == pytest.approx(0 if is_end else lost_s, abs=0.06), page
            assert lost_s > 0
            # The page before is there to its end, and the one after it from its beginning.
            at = round(at_s * audio.sample_rate)
            before, after = slice(0, max(at - 2048, 0)), slice(at + 4096, None)
            lost = len(whole.samples_NC) - len(audio.samples_NC)
            np.testing.assert_allclose(audio.samples_NC[before], whole.samples_NC[before], rtol=0, atol=1e-4)
            if kind == "ogg flac":
                np.testing.assert_array_equal(audio.samples_NC[after], whole.samples_NC[after.start + lost :])


@pytest.mark.parametrize("kind", ["flac", "wv"])
def test_wrong_bytes_of_a_lossless_file_are_no_burst_of_noise(tmp_path, kind):
    """A block whose checksum is wrong is left out, where FFmpeg would decode it to what it is not."""
    path = tmp_path / "song"
    MAKERS[kind](path)
    whole_NC = read_audio(path).samples_NC
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3] = b"\x5a\xa5\x5a"
    path.write_bytes(data)
    audio = read_audio(path)
    lost = len(whole_NC) - len(audio.samples_NC)
    at = round(audio.missing[0].at_s * RATE)
    np.testing.assert_array_equal(audio.samples_NC, np.delete(whole_NC, slice(at, at + lost), axis=0))
    assert sum(part.seconds for part in audio.missing) == pytest.approx(lost / RATE, abs=1e-3)
    assert 0 < lost < RATE


def test_only_what_is_missing_of_the_range_is_told(tmp_path):
    path = with_hole(encode(tmp_path / "a.mp3", "libmp3lame", "mp3", LONG_NC))
    for start_s, duration_s, count in ((0.0, 2.0, 0), (4.0, 2.0, 1), (7.0, None, 0), (0.0, None, 1)):
        with open_audio(path, start_s, duration_s) as reader:
            for _ in reader.blocks(4096):
                pass
        assert len(reader.missing) == count, (start_s, duration_s)


def test_the_line():
    parts = [Missing(1.0, 0.5), Missing(2.0, 0.25), Missing(3.0, 0.0), Missing(4.0, 1.0), Missing(5.0, 1.0)]
    assert missing_line("a.mp3", parts[:1]) == "a.mp3: damaged, or ends early; missing: 0.50 s at 1.00 s"
    assert missing_line("a.mp3", parts[2:3]) == "a.mp3: damaged, or ends early; missing: a part at 3.00 s"
    expected = "2.75 s in all, 0.50 s at 1.00 s, 0.25 s at 2.00 s, a part at 3.00 s and 2 more"
    assert missing_line("a.mp3", parts) == f"a.mp3: damaged, or ends early; missing: {expected}"


def id3(size):
    return b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def test_joined_files_give_all(tmp_path):
    """Two or three mp3s, with and without a first frame that states the length, with tags and a large picture."""
    x_NC = chirps_NC()
    tagged = encode(tmp_path / "a", "libmp3lame", "mp3", x_NC, tags={"title": "A"}).read_bytes()
    bare = encode(tmp_path / "b", "libmp3lame", "mp3", x_NC, write_xing="0", id3v2_version="0").read_bytes()
    picture = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
    flac = encode(tmp_path / "c", "flac", "flac", x_NC, samples="s16").read_bytes()
    for parts, count, delay in (
        ([bare, bare], 2, 1105),
        ([tagged, tagged], 2, 0),
        ([tagged, b"TAG" + bytes(125), tagged, b"TAG" + bytes(125), bare], 3, 0),
        ([bare, id3(len(picture)), picture, bare], 2, 1105),
        ([flac, flac], 2, 0),
    ):
        (tmp_path / "joined").write_bytes(b"".join(parts))
        audio = read_audio(tmp_path / "joined", strict=True)
        assert 0 <= len(audio.samples_NC) - count * len(x_NC) < 2 * 1152 * count
        assert lag(audio.samples_NC[: len(x_NC), 0], x_NC[:, 0]) == delay
        assert abs(lag(audio.samples_NC[-len(x_NC) :, 0], x_NC[:, 0])) < 2 * 1152


def test_joined_files_of_another_rate_or_other_channels_go_on_as_the_first(tmp_path):
    first = encode(tmp_path / "a", "libmp3lame", "mp3", LONG_NC).read_bytes()  # longer than what FFmpeg looks at
    x_NC = chirps_NC()
    fast = encode(tmp_path / "b", "libmp3lame", "mp3", chirps_NC(rate=22050), rate=22050).read_bytes()
    mono = encode(tmp_path / "c", "libmp3lame", "mp3", x_NC[:, :1]).read_bytes()
    for second in (fast, mono):
        (tmp_path / "joined").write_bytes(first + second)
        audio = read_audio(tmp_path / "joined")
        assert (audio.sample_rate, audio.samples_NC.shape[1]) == (RATE, 2)
        assert len(audio.samples_NC) == pytest.approx(11 * RATE, abs=3 * 1152)
        tail_NC = audio.samples_NC[-RATE:]
        assert abs(lag(tail_NC[:, 0], x_NC[:, 0])) < 3 * 1152
        assert np.abs(tail_NC).max() == pytest.approx(0.4, abs=0.15)


def test_junk_around_the_sound_of_an_mp3(tmp_path):
    x_NC = chirps_NC()
    tagged = encode(tmp_path / "a", "libmp3lame", "mp3", x_NC).read_bytes()
    bare = encode(tmp_path / "b", "libmp3lame", "mp3", x_NC, write_xing="0", id3v2_version="0").read_bytes()
    noise = np.random.default_rng(1).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
    for data, delay in (
        (bytes(5000) + bare, 1105),
        (bare + b"LYRICSBEGIN" + b"x" * 3000 + b"LYRICS200TAG" + bytes(125), 1105),
        (id3(len(noise)) + noise + bare, 1105),
        (tagged + bytes(3000), 0),
    ):
        (tmp_path / "c.mp3").write_bytes(data)
        audio = read_audio(tmp_path / "c.mp3", strict=True)
        assert lag(audio.samples_NC[:, 0], x_NC[:, 0]) == delay
        assert 0 <= len(audio.samples_NC) - len(x_NC) < 2 * 1152


def wav_with(x_NC, tmp_path, *, size=None, before=b"", after=b"", riff=None):
    sf.write(tmp_path / "plain.wav", x_NC, RATE)
    data = (tmp_path / "plain.wav").read_bytes()
    head = data[:4] + (data[4:8] if riff is None else struct.pack("<I", riff)) + data[8:36] + before + data[36:40]
    path = tmp_path / "odd.wav"
    path.write_bytes(head + (data[40:44] if size is None else struct.pack("<I", size)) + data[44:] + after)
    return path


def test_lengths_in_headers_are_not_trusted(tmp_path):
    """What a header says too little or far too much, or does not know, changes no sample and takes no memory."""
    x_NC = np.round(chirps_NC() * 2**15) / 2**15
    odd = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    for options in (
        {"size": 0},
        {"size": 2**32 - 1, "riff": 2**32 - 1},
        {"size": 2**31 - 1},
        {"riff": 0},
        {"before": odd},
        {"after": odd},
        {"before": b"bext" + struct.pack("<I", 100_000) + bytes(100_000)},
    ):
        audio = read_audio(wav_with(x_NC, tmp_path, **options), strict=True)
        np.testing.assert_array_equal(audio.samples_NC, x_NC.astype(np.float32))
    far = read_audio(wav_with(x_NC, tmp_path, size=3 * 2**30))
    np.testing.assert_array_equal(far.samples_NC, x_NC.astype(np.float32))
    assert far.missing == (Missing(1.0, pytest.approx(3 * 2**30 / 4 / RATE - 1, rel=1e-6)),)
    # STREAMINFO's 36-bit count of samples is the low half of byte 21 and bytes 22 to 25.
    sf.write(tmp_path / "a.flac", x_NC, RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    for count, missing in ((0, 0), (2**36 - 1, 0), (20_000, 0), (2**33, 1)):
        stated = bytes([whole[21] & 0xF0 | count >> 32]) + struct.pack(">I", count & 0xFFFFFFFF)
        (tmp_path / "a.flac").write_bytes(whole[:21] + stated + whole[26:])
        audio = read_audio(tmp_path / "a.flac")
        np.testing.assert_array_equal(audio.samples_NC, x_NC.astype(np.float32))
        assert len(audio.missing) == missing


def test_chained_ogg_and_silent_or_tiny_files(tmp_path):
    x_NC = chirps_NC()
    for subtype, rate in (("VORBIS", RATE), ("OPUS", 48000)):
        sf.write(tmp_path / "a.ogg", x_NC, rate, subtype, format="OGG")
        one = (tmp_path / "a.ogg").read_bytes()
        (tmp_path / "a.ogg").write_bytes(one + one)
        audio = read_audio(tmp_path / "a.ogg", strict=True)
        assert len(audio.samples_NC) == pytest.approx(2 * len(x_NC), abs=1200)
    (tmp_path / "a.mp3").write_bytes(encode(tmp_path / "b", "libmp3lame", "mp3", x_NC).read_bytes()[:3])
    for junk in (b"", bytes(100_000), np.random.default_rng(2).integers(0, 256, 20_000, dtype=np.uint8).tobytes()):
        (tmp_path / "junk.mp3").write_bytes(junk)
        with pytest.raises(InputError, match=r"junk\.mp3: (is empty|cannot be read as audio)"):
            read_audio(tmp_path / "junk.mp3")
    with pytest.raises(InputError, match=r"a\.mp3: cannot be read as audio"):
        read_audio(tmp_path / "a.mp3")


def test_huge_samples(tmp_path):
    """1e30 is a sample as any other; 1e300 is none that a float32 can hold."""
    x_NC = chirps_NC().astype(np.float64)
    x_NC[7] = 1e30
    sf.write(tmp_path / "a.wav", x_NC, RATE, "DOUBLE")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples_NC, x_NC.astype(np.float32))
    x_NC[7] = 1e300
    sf.write(tmp_path / "a.wav", x_NC, RATE, "DOUBLE")
    with pytest.raises(InputError, match=r"a\.wav: 2 NaN or infinite samples, the first at 0\.000159 s"):
        read_audio(tmp_path / "a.wav")
