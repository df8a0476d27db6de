"""The separator of the library. Oracles: the command on the same song, the whole song at once, and counts of samples.

A stream is the whole song to 1e-5 of the largest value, float32.
"""

import jax
import numpy as np
import pytest
from tiny import DWS, GRU, SIGNAL, assert_close, open_masks
from tiny_checkpoint import save_model

from madsep_jax import (
    DwsMaskerConfig,
    GruMaskerConfig,
    InputError,
    RunConfig,
    SeparationConfig,
    Separator,
    Stems,
    build_model,
    separate,
)
from madsep_jax.checkpoint import load_level
from madsep_jax.separator import Latency
from madsep_jax.signal.level import How
from madsep_jax.train import init_state

RATE = SIGNAL.sample_rate
HOP, WINDOW, TARGET, CONTEXT = 12, 65, 4, 2  # of the tiny systems


def noise(length, channels=2, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (length, channels)).astype(np.float32)


def dws_variables():
    """Random ones, but for the biases of the masks, which open them."""
    mag_BSF = jax.numpy.zeros((1, DWS.sequences.frames, DWS.signal.bins))
    variables = jax.jit(build_model(DWS.model).init)(jax.random.key(0), mag_BSF)
    for layer in (variables["params"]["masker"]["mask_layer"], variables["params"]["denoiser"]["decoder"]):
        layer["bias"] += 0.7
    return variables


@pytest.fixture(scope="module")
def separators():
    """By system; trained at another level than the songs here have, which they are brought to."""
    return {
        "mad": Separator(GRU, open_masks(GRU), training_level=0.1),
        "dws": Separator(DWS, dws_variables(), training_level=0.1),
    }


# Streams.


def streamed(separator, song_NC, size, rate=RATE, **more):
    """The voice of a stream in blocks of a size; of each piece its first sample, and the samples that had come."""
    given, out, voice = 0, [], []

    def blocks():
        nonlocal given
        for start in range(0, len(song_NC), size):
            given = min(start + size, len(song_NC))
            yield song_NC[start:given]

    done = 0
    for piece in separator.stream(blocks(), rate, **more):
        out.append((done, given))
        done += len(piece.voice_NC)
        voice.append(piece.voice_NC)
    return np.concatenate(voice), out


@pytest.mark.parametrize("size", [TARGET * HOP, 64, 65, 1, 701, 5000])
@pytest.mark.parametrize("system", ["mad", "dws"])
def test_a_stream_is_the_whole_song(separators, system, size):
    """At block sizes that divide the song (48, 64, 5000: 4800 = 100 · 48 = 75 · 64) and that do not."""
    separator, length = separators[system], 480 if size == 1 else 4800
    song_NC = noise(length)
    voice_NC, _ = streamed(separator, song_NC, size, how=separator.how([song_NC]))
    expected = separator.separate(song_NC, RATE)
    assert_close(voice_NC, expected.voice_NC, 1e-5)
    assert np.abs(expected.voice_NC).max() > 0.01


@pytest.mark.thorough
@pytest.mark.parametrize("masker", [GruMaskerConfig(), DwsMaskerConfig(layers=5, channels=64)], ids=["mad", "dws-5-64"])
def test_a_stream_is_the_whole_song_at_full_size(masker):
    """Three seconds of 132,300 samples, which are 21 · 6,300 and no multiple of 8,192."""
    config = RunConfig(masker=masker)
    separator, song_NC = Separator(config, init_state(config).variables, 0.1), noise(3 * 44100)
    expected = separator.separate(song_NC, 44100)
    for size in (6300, 8192):
        voice_NC, _ = streamed(separator, song_NC, size, 44100, how=separator.how([song_NC]))
        assert_close(voice_NC, expected.voice_NC, 1e-5)
    assert np.abs(expected.voice_NC).max() > 0


def test_a_stream_is_at_the_level_at_which_it_comes_where_none_is_known(separators):
    """As published, but for the mask's limit."""
    separator, song_NC = separators["mad"], noise(1000)
    how = How(mask_limit=1.0)
    expected = separate(GRU, separator.variables, song_NC, RATE, how=how)
    assert_close(streamed(separator, song_NC, 100)[0], expected.voice_NC, 1e-5)
    assert separator.how([song_NC]) != how


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("size", [1, HOP, 100])
def test_each_piece_is_out_within_the_latency(separators, size, sequences):
    """No block is taken that a piece does not need: with blocks of one sample the latency is what it says."""
    separator = separators["mad"]
    latency = separator.latency(sequences=sequences)
    samples = (sequences * TARGET + CONTEXT - 1) * HOP + WINDOW
    assert latency == Latency(-(-samples // HOP), samples, samples / RATE)
    song_NC = noise(1500, channels=1)
    _, out = streamed(separator, song_NC, size, sequences=sequences)
    waits = [given - first for first, given in out if given < len(song_NC)]
    assert len(waits) > 5
    assert max(waits) - latency.samples in range(-HOP if size == HOP else 0 if size == 1 else -size, size)
    assert len({first for first, _ in out}) == len(out)  # none is empty


@pytest.mark.parametrize("rate", [44100, 16000, 7999, 4000])
def test_the_latency_at_another_rate(separators, rate):
    """The resamplers' filters have an upper bound; what is found is within it, and more than a third of it."""
    pytest.importorskip("soxr")
    separator = separators["mad"]
    latency = separator.latency(rate)
    song_NC = noise(3 * rate, channels=1)
    voice_NC, out = streamed(separator, song_NC, rate // 50, rate)
    waits = [given - first for first, given in out if given < len(song_NC)]
    assert latency.samples / 3 < max(waits) < latency.samples + rate // 50
    assert latency.seconds == pytest.approx(latency.samples / rate, abs=1 / rate)
    expected = separate(GRU, separator.variables, song_NC, rate, how=How(mask_limit=1.0))
    assert_close(voice_NC, expected.voice_NC, 1e-5)


def test_an_endless_stream():
    """Of a generator that never ends: the first piece comes, and nothing else is asked for."""
    separator = Separator(GRU, open_masks(GRU))
    asked = 0

    def forever():
        nonlocal asked
        while True:
            asked += 1
            yield noise(100)

    first = next(separator.stream(forever(), RATE))
    assert first.voice_NC.shape == ((TARGET - 3) * HOP, 2)  # of the first frames, three lie before the song
    assert asked * 100 < separator.latency().samples + 100
    assert list(separator.stream([], RATE)) == []
    with pytest.raises(ValueError, match="found 0, expected 1 or more"):
        next(separator.stream([noise(100)], RATE, sequences=0))


# Songs.


def test_stems_add_up_and_progress_is_told(separators):
    told, song_NC = [], noise(9000)
    stems = separators["mad"].separate(song_NC, RATE, on_progress=lambda *seconds: told.append(seconds))
    assert stems.voice_NC.shape == stems.accompaniment_NC.shape == song_NC.shape
    assert_close(stems.voice_NC + stems.accompaniment_NC, song_NC, 1e-6)
    assert [whole for _, whole in told] == [9000 / RATE] * len(told)
    assert told == sorted(told)
    assert told[-1][0] == 9000 / RATE
    assert len(told) > 1
    codes_NC = np.rint(song_NC * 2**15).astype(np.int16)
    assert_close(separators["mad"].separate(codes_NC, RATE).voice_NC, stems.voice_NC, 1e-3)


def test_a_song_is_heard_at_the_level_of_the_training(separators):
    """The mask's limit and the level are those of `madsep separate`, unless others are given."""
    mad, song_NC = separators["mad"], noise(700)
    gain = 0.1 / np.sqrt(np.mean(song_NC.mean(axis=1) ** 2))
    assert mad.how([song_NC]).gain == pytest.approx(gain, rel=1e-5)
    assert mad.how(np.array_split(song_NC, 3)).mask_limit == 1
    published = Separator(GRU, mad.variables, 0.1, separation=SeparationConfig())
    assert published.how([song_NC]) == How()
    assert Separator(GRU, mad.variables).how([song_NC]) == How(mask_limit=1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.zeros((5, 2), np.float32),), "sample_rate: found none"),
        ((np.zeros(5, np.float32), RATE), r"mixture_NC: found shape \(5,\)"),
        ((np.full((5, 2), np.nan), RATE), "expected finite samples"),
        ((np.zeros((2, 441_000)), RATE), "a row for each sample"),
    ],
)
def test_what_is_no_song(separators, arguments, text):
    with pytest.raises(ValueError, match=text):
        separators["mad"].separate(*arguments)


def test_a_device_by_its_name(separators):
    song_NC = noise(500)
    expected = separators["mad"].separate(song_NC, RATE).voice_NC
    for device in ("cpu", "CPU:0", jax.devices()[0]):
        separator = Separator(GRU, open_masks(GRU), 0.1, device=device)
        assert separator.device == jax.devices()[0]
        assert_close(separator.separate(song_NC, RATE).voice_NC, expected, 1e-6)
    with pytest.raises(InputError, match=r"^device abacus: found cpu:0, expected one of these$"):
        Separator(GRU, {}, device="abacus")


# Files.


def test_what_is_saved_is_loaded(separators, tmp_path):
    """As a checkpoint and as one file, with the level of the training; the same voice to the last bit."""
    pytest.importorskip("safetensors")
    separator, song_NC = separators["dws"], noise(500)
    expected = separator.separate(song_NC, RATE).voice_NC
    for place in (tmp_path / "model", tmp_path / "model.safetensors"):
        separator.save(place)
        loaded = Separator.load(place)
        assert (loaded.config.model, loaded.training_level) == (DWS.model, 0.1)
        np.testing.assert_array_equal(loaded.separate(song_NC, RATE).voice_NC, expected)
    assert load_level(tmp_path / "model") == 0.1
    assert repr(loaded) == "Separator(custom-dws, 8000 Hz)"


def test_what_cannot_be_loaded(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    from madsep_jax.interop import to_torch

    with pytest.raises(InputError, match="not a checkpoint"):
        Separator.load(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        Separator.load(tmp_path / "none.safetensors")
    foreign = {name: np.ascontiguousarray(array) for name, array in to_torch(GRU.model, open_masks(GRU)).items()}
    safetensors.save_file(foreign, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="found parameters without a configuration, expected a file of"):
        Separator.load(tmp_path / "foreign.safetensors")


def test_files_are_those_of_the_command(tmp_path):
    """Byte for byte: by `separate_file`; and to the sample's precision of an array's `Stems.write`."""
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("cyclopts")
    pytest.importorskip("safetensors")
    from experiments.madsep import main

    save_model(tmp_path / "model", mask=0.5, noise=0.3)
    soundfile.write(tmp_path / "song.wav", noise(9000), RATE, subtype="PCM_24")
    folder, told = tmp_path / "out" / "song", []
    arguments = [tmp_path / "song.wav", "-o", tmp_path / "out", "--checkpoint", tmp_path / "model"]
    assert main(["separate", *map(str, arguments)]) == 0
    command = {path.name: path.read_bytes() for path in folder.iterdir()}
    separator = Separator.load(tmp_path / "model")
    found = separator.separate_file(
        tmp_path / "song.wav", tmp_path / "lib", on_progress=lambda *seconds: told.append(seconds)
    )
    assert {path.name: path.read_bytes() for path in found.files.values()} == command
    assert set(found.files) == {"vocals", "accompaniment"}
    assert (found.missing, found.frames, told[-1]) == ((), 9000, (9000 / RATE, 9000 / RATE))
    separator.save(tmp_path / "model.safetensors")  # which the command takes, too
    arguments[2:] = [tmp_path / "again", "--checkpoint", tmp_path / "model.safetensors"]
    assert main(["separate", *map(str, arguments)]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again" / "song").iterdir()} == command
    stems = separator.separate(tmp_path / "song.wav")
    assert stems.sample_rate == RATE
    written = stems.write(tmp_path / "stems", subtype="PCM_24")
    for stem, path in written.items():
        found_NC, expected_NC = (soundfile.read(file)[0] for file in (path, found.files[stem]))
        np.testing.assert_allclose(found_NC, expected_NC, rtol=0, atol=2**-23)
    floats = stems.write(tmp_path / "stems")
    np.testing.assert_array_equal(soundfile.read(floats["vocals"], dtype="float32")[0], stems.voice_NC)


def test_stems_that_integers_cannot_hold(tmp_path):
    pytest.importorskip("soundfile")
    loud_NC = np.full((100, 1), 3, np.float32)
    with pytest.raises(InputError, match=r"found samples of 6 times full scale"):
        Stems(loud_NC, loud_NC, RATE).write(tmp_path, subtype="PCM_16")
    assert not list(tmp_path.iterdir())


def test_a_masker_of_ones_own_is_loaded_with_its_code(tmp_path, monkeypatch):
    from test_own_masker import BASE, SMALL, example

    from madsep_jax.models import outside
    from madsep_jax.models.contract import config_of

    monkeypatch.setattr(outside, "_LOADED", {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_masker.py").write_text(example())
    config, song_NC = config_of(SMALL, BASE), noise(500)
    separator = Separator(config, init_state(config).variables, 0.1)
    expected = separator.separate(song_NC, RATE).voice_NC
    separator.save("model")
    monkeypatch.setattr(outside, "_LOADED", {})
    with pytest.raises(InputError, match=r"my_masker\.py"):
        Separator.load("model")
    found = Separator.load("model", code="my_masker.py").separate(song_NC, RATE).voice_NC
    np.testing.assert_array_equal(found, expected)
