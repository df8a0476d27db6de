"""Oracle: the two files add up to the song, at its rate, channels and length."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("cyclopts")

from tiny_checkpoint import save_model

from experiments.madsep import main
from madsep_jax.errors import InputError
from madsep_jax.separator.stem_files import add_up, check_peaks, most_of


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """The folder of an ablation's row."""
    folder = tmp_path_factory.mktemp("row")
    save_model(folder / "checkpoint", mask=0.5, noise=0.3)
    return folder


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    """A checkpoint whose estimate is 3 times the mixture."""
    folder = tmp_path_factory.mktemp("loud")
    save_model(folder, mask=3, noise=0)
    return folder


def noise_NC(frames=3001, channels=1, peak=0.9):
    return np.random.default_rng(frames + channels).uniform(-peak, peak, (frames, channels))


def separated(song, checkpoint, *options):
    """Run the command; return the headers and the samples of song, voice and accompaniment."""
    out = song.parent / "out"
    assert main(["separate", str(song), "-o", str(out), "--checkpoint", str(checkpoint), *options]) == 0
    assert [path.name for path in out.iterdir()] == [song.stem]  # nothing is left aside
    ending = options[options.index("--format") + 1] if "--format" in options else "wav"
    files = [song, *(out / song.stem / f"{name}.{ending}" for name in ("vocals", "accompaniment"))]
    assert sorted(path.name for path in files[0].parent.glob("out/*/*")) == sorted(path.name for path in files[1:])
    infos = [sf.info(path) for path in files]
    assert {(info.samplerate, info.channels, info.frames) for info in infos[1:]} == {
        (infos[0].samplerate, infos[0].channels, infos[0].frames)
    }
    return infos, [sf.read(path, dtype="float64", always_2d=True)[0] for path in files]


def check_sum(arrays_NC, tolerance=1e-4):
    mixture_NC, voice_NC, accompaniment_NC = arrays_NC
    assert voice_NC.shape == accompaniment_NC.shape == mixture_NC.shape
    assert np.abs(voice_NC + accompaniment_NC - mixture_NC).max() <= tolerance
    assert np.abs(voice_NC).max() > 0.01
    assert np.abs(accompaniment_NC).max() > 0.01


@pytest.mark.parametrize(
    ("ending", "subtype", "expected"),
    [
        ("wav", "PCM_U8", "PCM_16"),
        ("wav", "PCM_16", "PCM_16"),
        ("wav", "PCM_24", "PCM_24"),
        ("wav", "PCM_32", "PCM_32"),
        ("wav", "FLOAT", "FLOAT"),
        ("wav", "DOUBLE", "FLOAT"),
        ("wav", "ULAW", "PCM_16"),
        ("flac", "PCM_16", "PCM_16"),
        ("flac", "PCM_24", "PCM_24"),
        ("ogg", "VORBIS", "PCM_16"),
        ("mp3", "MPEG_LAYER_III", "PCM_16"),
    ],
)
def test_sample_format_is_like_the_songs(tmp_path, row, ending, subtype, expected):
    song = tmp_path / f"song.{ending}"
    try:
        sf.write(song, noise_NC(30001, channels=2), 8000, subtype=subtype, format=ending.upper())
    except (sf.SoundFileError, ValueError):
        pytest.skip(f"libsndfile {sf.__libsndfile_version__} writes no {subtype}")
    infos, arrays_NC = separated(song, row)
    assert [(info.format, info.subtype) for info in infos[1:]] == [("WAV", expected)] * 2
    check_sum(arrays_NC)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2999, 5000])
def test_rate_channels_and_length_stay(tmp_path, row, rate, channels, frames):
    song = tmp_path / "a song.wav"
    sf.write(song, noise_NC(frames, channels), rate, subtype="PCM_16")
    infos, arrays_NC = separated(song, row / "checkpoint")
    assert (infos[1].samplerate, infos[1].channels, infos[1].frames) == (rate, channels, frames)
    if frames > 1:
        check_sum(arrays_NC, tolerance=1e-9)  # 16 bits in, 16 bits out: exact


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--format", "flac"], ("FLAC", "PCM_24")),
        (["--format", "flac", "--subtype", "PCM_16"], ("FLAC", "PCM_16")),
        (["--subtype", "PCM_32"], ("WAV", "PCM_32")),
        (["--format", "wav", "--subtype", "PCM_24"], ("WAV", "PCM_24")),
    ],
)
def test_sample_format_can_be_chosen(tmp_path, row, options, expected):
    song = tmp_path / "song.wav"
    sf.write(song, noise_NC(), 8000, subtype="FLOAT")
    infos, arrays_NC = separated(song, row, *options)
    assert [(info.format, info.subtype) for info in infos[1:]] == [expected] * 2
    check_sum(arrays_NC)


@pytest.mark.parametrize("options", [[], ["--format", "flac"], ["--subtype", "PCM_32"], ["--subtype", "FLOAT"]])
def test_loud_results_saturate_and_still_add_up(tmp_path, loud, options):
    song = tmp_path / "song.wav"
    mixture_NC = np.sign(np.sin(np.arange(4000) / 9.0))[:, None] * [1.0, 0.999]
    mixture_NC[:100] = -1.0
    sf.write(song, mixture_NC, 8000, subtype="PCM_16")
    _, arrays_NC = separated(song, loud, *options, "--mask-limit", "none")
    mixture_NC, voice_NC, _ = arrays_NC
    if "FLOAT" in options:
        np.testing.assert_allclose(voice_NC, 3 * mixture_NC, rtol=0, atol=1e-4)  # float files are not limited
        check_sum(arrays_NC, tolerance=1e-6)
    else:
        # What wraps has the other sign. The voice is 3 times the mixture, cut at full scale.
        assert np.array_equal(np.sign(voice_NC), np.sign(mixture_NC))
        assert np.abs(voice_NC).min() > 0.99
        np.testing.assert_allclose(arrays_NC[1] + arrays_NC[2], mixture_NC, rtol=0, atol=1e-9)


def test_the_voice_is_at_most_the_song_where_nothing_else_is_asked_for(tmp_path, loud):
    song = tmp_path / "song.wav"
    sf.write(song, noise_NC(), 8000, subtype="PCM_16")
    mixture_NC, voice_NC, _ = separated(song, loud)[1]
    np.testing.assert_allclose(voice_NC, mixture_NC, rtol=0, atol=1 / 2**14)
    mixture_NC, half_NC, _ = separated(song, loud, "--mask-limit", "0.5")[1]
    np.testing.assert_allclose(half_NC, mixture_NC / 2, rtol=0, atol=1 / 2**14)


def test_samples_beyond_full_scale(tmp_path, row, capsys):
    song = tmp_path / "song.wav"
    sf.write(song, noise_NC(peak=1.95), 8000, subtype="FLOAT")
    check_sum(separated(song, row)[1])
    check_sum(separated(song, row, "--subtype", "PCM_24")[1])
    sf.write(song, noise_NC(peak=9), 8000, subtype="FLOAT")
    check_sum(separated(song, row)[1])
    before = (tmp_path / "out/song/vocals.wav").read_bytes()
    arguments = ["separate", str(song), "-o", str(tmp_path / "out"), "--checkpoint", str(row), "--subtype", "PCM_16"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert f"madsep: {song}: found samples of 9 times full scale, expected at most 2 for PCM_16" in error
    assert (tmp_path / "out/song/vocals.wav").read_bytes() == before
    sf.write(song, np.full((100, 1), 1e30), 8000, subtype="FLOAT")
    assert main(arguments[:-2]) == 2
    assert "found samples of 1e+30 times full scale, expected sound" in capsys.readouterr().err


def test_a_few_samples_beyond_what_two_files_hold_are_cut_and_told(tmp_path, row, capsys):
    mixture_NC = noise_NC(peak=0.5)
    mixture_NC[1000:1002] = [[7.0], [-7.0]]
    sf.write(tmp_path / "song.wav", mixture_NC, 8000, subtype="FLOAT")
    _, arrays_NC = separated(tmp_path / "song.wav", row, "--subtype", "PCM_16")
    expected_NC = mixture_NC.clip(-2, 2 - 2 / 2**15)
    np.testing.assert_allclose(arrays_NC[1] + arrays_NC[2], expected_NC, rtol=0, atol=0.5 / 2**15 + 1e-7)
    assert "samples beyond twice full scale were cut: 2 (" in capsys.readouterr().out


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32"])
def test_pair_is_within_the_codes_for_every_mixture_and_voice(subtype):
    full_scale = 2.0 ** (int(subtype[4:]) - 1)
    high = 1 - 1 / full_scale
    mixture_NC = (np.linspace(-2, 2 * high, 401)[:, None] * np.ones((1, 301))).astype(np.float32)
    too_high_NC = mixture_NC.astype(np.float64) > 2 * high  # rounded up, and refused
    mixture_NC = np.where(too_high_NC, np.nextafter(mixture_NC, np.float32(0)), mixture_NC)
    voice_NC = np.broadcast_to(np.linspace(-5, 5, 301), mixture_NC.shape).astype(np.float32)
    found_voice_NC, found_accompaniment_NC = add_up(mixture_NC, voice_NC, subtype)
    for found_NC in (found_voice_NC, found_accompaniment_NC):
        assert found_NC.min() >= -1 - 0.5 / full_scale
        assert found_NC.max() <= high + 0.5 / full_scale
    np.testing.assert_allclose(found_voice_NC + found_accompaniment_NC, mixture_NC, rtol=0, atol=1e-15)
    free_NC = (np.abs(voice_NC) < 0.9) & (np.abs(mixture_NC - voice_NC) < 0.9)
    np.testing.assert_allclose(found_voice_NC[free_NC], voice_NC[free_NC], rtol=0, atol=0.5 / full_scale)
    with pytest.raises(InputError, match=r"2\.1 times full scale, expected at most 2"):
        check_peaks(2, 1000, 2.1, subtype)
    check_peaks(1, 1000, 2.1, subtype)
    assert most_of(subtype) == (-2, 2 * high)


def test_several_songs_one_line_each_and_again(tmp_path, row, capsys):
    sf.write(tmp_path / "a [1].wav", noise_NC(), 8000)
    sf.write(tmp_path / "b.flac", noise_NC(channels=2), 16000)
    out = tmp_path / "new" / "out"
    arguments = ["separate", "--out", str(out), "--checkpoint", str(row)]
    arguments += [str(tmp_path / "a [1].wav"), str(tmp_path / "b.flac")]
    assert main(arguments) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert "CPU cores" in first
    assert len(lines) == 3
    assert lines[0].startswith(f"separator: {row}/checkpoint (custom-gru, preset ")
    assert lines[1].startswith(f"{tmp_path}/a [1].wav: 0.4 s of sound in ")
    assert "real-time factor" in lines[2]
    (out / "a [1]" / "note.txt").write_text("stays")
    sf.write(tmp_path / "a [1].wav", noise_NC(2000), 8000)
    assert main(arguments) == 0
    assert sf.info(out / "a [1]" / "vocals.wav").frames == 2000
    assert (out / "a [1]" / "note.txt").read_text() == "stays"
    assert sorted(path.name for path in out.iterdir()) == ["a [1]", "b"]


def test_alone_it_prints_its_help(capsys):
    assert main([]) == 0
    assert "separate" in capsys.readouterr().out


def test_installed_command_prints_its_help():
    command = [sys.executable, "-m", "experiments.madsep", "separate", "--help"]
    found = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    for part in ("SONG", "--out", "-o", "--checkpoint", "--format", "--subtype"):
        assert part in found.stdout


def test_compiled_programs_are_kept_on_request(tmp_path, row):
    """The second process finds what the first one compiled, and writes the same files."""
    sf.write(tmp_path / "song.wav", noise_NC(), 44100)
    command = [sys.executable, "-m", "experiments.madsep", "separate", str(tmp_path / "song.wav"), "--checkpoint", row]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept, voices = [], []
    for out in (tmp_path / "first", tmp_path / "second"):
        subprocess.run(
            [*command, "-o", out, "--compilation-cache"], cwd=Path(__file__).parent.parent, env=environment, check=True
        )
        kept.append(sorted(path.name for path in (tmp_path / "cache").rglob("*-cache")))
        voices.append((out / "song" / "vocals.wav").read_bytes())
    assert kept[0]
    assert kept[0] == kept[1]
    assert voices[0] == voices[1]


def test_it_loads_nothing_that_only_training_needs(tmp_path, row):
    """In a process of its own, from its start to a separated song."""
    sf.write(tmp_path / "song.wav", noise_NC(), 44100)
    arguments = ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out"), "--checkpoint", str(row)]
    code = f"""
import sys
from experiments.madsep import main
assert main({arguments}) == 0
trains = ("tensorflow", "tensorboardX", "data_pipelines.batches", "data_pipelines.prepared")
trains += ("data_pipelines.songs.tracks", "experiments.training", "experiments.rows")
print([name for name in trains if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"
