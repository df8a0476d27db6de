"""What `madsep separate` writes besides the samples, and which part. Oracles: the song's own samples, tags, layout."""

import tracemalloc

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
av = pytest.importorskip("av")
pytest.importorskip("soxr")
pytest.importorskip("cyclopts")

from tiny_checkpoint import save_model

from experiments.madsep import main
from madsep_jax.separator.stem_files import is_result

RATE = 8000


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A checkpoint whose voice is half of the song."""
    folder = tmp_path_factory.mktemp("half")
    save_model(folder, mask=0.5, noise=0)
    return folder


def noise_NC(seconds, channels=2):
    return np.random.default_rng(channels).uniform(-0.9, 0.9, (round(seconds * RATE), channels)).astype(np.float32)


def separated(song, checkpoint, *options, code=0):
    out = song.parent / "out"
    assert main(["separate", str(song), "-o", str(out), "--checkpoint", str(checkpoint), *options]) == code
    return {path.stem: path for path in out.glob("song/*")}


@pytest.mark.parametrize(
    ("options", "start", "end"),
    [
        (["--start", "1"], 1.0, 3.0),
        (["--duration", "0.5"], 0.0, 0.5),
        (["--start", "0.25", "--duration", "2"], 0.25, 2.25),
        (["--start", "2", "--duration", "99"], 2.0, 3.0),
    ],
)
def test_a_part_of_a_song(tmp_path, half, options, start, end):
    mixture_NC, part = noise_NC(3), slice(round(start * RATE), round(end * RATE))
    sf.write(tmp_path / "song.wav", mixture_NC, RATE, subtype="FLOAT")
    files = separated(tmp_path / "song.wav", half, *options)
    arrays_NC = {stem: sf.read(path, always_2d=True)[0] for stem, path in files.items()}
    np.testing.assert_allclose(sum(arrays_NC.values()), mixture_NC[part], rtol=0, atol=1e-6)
    np.testing.assert_allclose(arrays_NC["vocals"], mixture_NC[part] / 2, rtol=0, atol=1e-4)


def test_a_part_behind_the_end_is_refused(tmp_path, half, capsys):
    sf.write(tmp_path / "song.wav", noise_NC(1), RATE)
    assert separated(tmp_path / "song.wav", half, "--start", "5", code=2) == {}
    assert f"madsep: {tmp_path}/song.wav: 8000 samples, expected more than 40000" in capsys.readouterr().err


@pytest.mark.parametrize("stem", ["vocals", "accompaniment"])
def test_one_stem_is_the_same_as_of_both(tmp_path, half, stem):
    sf.write(tmp_path / "song.wav", noise_NC(1), RATE)
    both = {name: path.read_bytes() for name, path in separated(tmp_path / "song.wav", half).items()}
    for path in (tmp_path / "out" / "song").iterdir():
        path.unlink()
    one = separated(tmp_path / "song.wav", half, "--stems", stem)
    assert {name: path.read_bytes() for name, path in one.items()} == {stem: both[stem]}


@pytest.mark.parametrize(
    ("options", "format", "kbits"),
    [
        (["--format", "mp3", "--bitrate", "64"], "MP3", 64),
        (["--format", "MP3", "--bitrate", "128k"], "MP3", 128),
        (["--format", "mp3"], "MP3", 160),
        (["--format", "ogg"], "OGG", None),
    ],
)
def test_lossy_results(tmp_path, half, options, format, kbits):
    rate, times_N = 22050, np.arange(66150) / 22050
    mixture_NC = 0.4 * np.sin(2 * np.pi * times_N[:, None] * [440, 660])
    sf.write(tmp_path / "song.wav", mixture_NC, rate, subtype="FLOAT")
    files = separated(tmp_path / "song.wav", half, *options)
    assert {path.suffix for path in files.values()} == {f".{format.lower()}"}
    for path in files.values():
        assert sf.info(path).format == format
        samples_NC = sf.read(path, always_2d=True)[0]
        assert len(samples_NC) == len(mixture_NC)
        power = np.mean((samples_NC - mixture_NC / 2) ** 2) / np.mean((mixture_NC / 2) ** 2)
        assert power < 1e-2  # 20 dB below what was encoded
        if kbits:
            with av.open(str(path)) as container:
                assert container.streams.audio[0].bit_rate == 1000 * kbits


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_tags_are_kept(tmp_path, half, format):
    with sf.SoundFile(tmp_path / "song.flac", "w", RATE, 2) as file:
        file.title, file.artist, file.album = "Ein Lied", "Jemand", "Lieder"
        file.write(noise_NC(1))
    for path in separated(tmp_path / "song.flac", half, "--format", format).values():
        with sf.SoundFile(path) as file:
            assert (file.title, file.artist, file.album) == ("Ein Lied", "Jemand", "Lieder")
            assert "madsep separate" in (file.software, file.comment) or file.software.startswith("madsep separate (")


def test_a_comment_stays_and_the_result_is_known_all_the_same(tmp_path, half):
    with sf.SoundFile(tmp_path / "song.flac", "w", RATE, 2) as file:
        file.comment = "Mein liebstes"
        file.write(noise_NC(1))
    for path in separated(tmp_path / "song.flac", half, "--format", "mp3").values():
        with sf.SoundFile(path) as file:
            assert file.comment == "Mein liebstes madsep separate"
        assert is_result(path)
    assert not is_result(tmp_path / "song.flac")


def test_channel_layout_is_kept(tmp_path, half):
    """5.1 with its channels at the sides is not 5.1 with them at the back."""
    with av.open(str(tmp_path / "song.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="5.1(side)")
        codes_CN = np.round(noise_NC(1, 6).T * 2**15).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(codes_CN.T).reshape(1, -1), "s16", "5.1(side)")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for path in separated(tmp_path / "song.wav", half).values():
        with av.open(str(path)) as container:
            assert container.streams.audio[0].layout.name == "5.1(side)"


def test_what_is_missing_is_told_or_with_strict_refused(tmp_path, half, capsys):
    sf.write(tmp_path / "song.wav", noise_NC(4), RATE, subtype="PCM_16")
    whole = (tmp_path / "song.wav").read_bytes()
    (tmp_path / "song.wav").write_bytes(whole[: 44 + 3 * RATE * 4])
    assert separated(tmp_path / "song.wav", half, "--strict", code=2) == {}
    assert f"madsep: {tmp_path}/song.wav: damaged, or ends early; missing: 1.00 s at 3.00 s" in capsys.readouterr().err
    files = separated(tmp_path / "song.wav", half)
    assert {sf.info(path).frames for path in files.values()} == {3 * RATE}
    assert f"{tmp_path}/song.wav: damaged, or ends early; missing: 1.00 s at 3.00 s" in capsys.readouterr().out


def test_channels_that_cancel_are_separated_each_by_itself(tmp_path, half, capsys):
    left_N = noise_NC(1, 1)[:, 0]
    sf.write(tmp_path / "song.wav", np.stack([left_N, -left_N], axis=1), RATE, subtype="PCM_24")
    files = separated(tmp_path / "song.wav", half)
    voice_NC = sf.read(files["vocals"], always_2d=True)[0]
    np.testing.assert_allclose(voice_NC, np.stack([left_N, -left_N], axis=1) / 2, rtol=0, atol=1e-4)
    assert "the channels cancel" in capsys.readouterr().out


def test_a_passage_that_cancels_is_told(tmp_path, half, capsys):
    song_NC = np.repeat(noise_NC(3 * 2**16 / RATE, 1), 2, axis=1)
    song_NC[RATE + 2**16 : RATE + 2**17, 1] *= -1
    sf.write(tmp_path / "song.wav", song_NC, RATE, subtype="PCM_24")
    separated(tmp_path / "song.wav", half, "--start", "1")
    told = "song.wav: the channels cancel for 8.2 s, first at 9.2 s, where no voice is found by a model"
    assert told in " ".join(capsys.readouterr().out.split())


def test_memory_does_not_grow_with_the_song(tmp_path, half):
    """Traced are NumPy's arrays, of which one of the longer song would have 7.7 MB."""

    def peak(seconds):
        sf.write(tmp_path / "song.wav", noise_NC(seconds), RATE, subtype="PCM_16")
        tracemalloc.start()
        separated(tmp_path / "song.wav", half)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(30)  # compiles
    assert peak(120) < peak(30) + 2e6
