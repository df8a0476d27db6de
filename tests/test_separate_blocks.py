"""A song in blocks, its level, its channels. Oracles: the whole song at once, NumPy, and identities of any model.

Blocks and the whole song are the same to 1e-6 of the largest value; the identities hold to 1e-5, float32.
"""

import itertools
import tracemalloc
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import GRU, SIGNAL, assert_close, open_masks

from madsep_jax import InputError, SeparationConfig, build_model, separate, separate_blocks
from madsep_jax.audio import read_audio, resample
from madsep_jax.audio.resampling import resample_blocks
from madsep_jax.signal.level import How, Survey, energy_of_magnitudes, how_to_separate
from madsep_jax.signal.stft import istft, mono_magnitudes, stft

RATE = SIGNAL.sample_rate
ANTIPHASE = Path(__file__).parents[2] / "shared" / "cases" / "audio" / "antiphase.wav"


@pytest.fixture(scope="module")
def variables():
    return open_masks(GRU)


def noise(length, channels=2, seed=0):
    return np.random.default_rng(seed).normal(scale=4, size=(length, channels)).astype(np.float32)


def voice_of(variables, mixture_NC, **how):
    return separate(GRU, variables, mixture_NC, RATE, how=How(**how)).voice_NC


# Blocks.


@pytest.mark.parametrize("rate", [RATE, 16000, 7999, 44100, 1000])
@pytest.mark.parametrize("length", [1, 37, 5001])
def test_blocks_give_what_the_whole_song_gives(variables, rate, length):
    """In odd and uneven sizes, at other rates, with a How that changes everything."""
    if rate != RATE:
        pytest.importorskip("soxr")
    mixture_NC, how = noise(length), How(mask_limit=0.5, gain=0.3, each_channel=True)
    expected = separate(GRU, variables, mixture_NC, rate, how=how)
    for sizes in ([1, 7, 0, 700], [333], [10**6]):
        edges = [0, *itertools.takewhile(lambda end: end < length, itertools.accumulate(itertools.cycle(sizes)))]
        blocks = [mixture_NC[start:end] for start, end in itertools.pairwise([*edges, length])]
        pieces = list(separate_blocks(GRU, variables, iter(blocks), rate, how=how))
        for found, whole_NC in zip(zip(*pieces, strict=True), expected, strict=True):
            assert_close(np.concatenate(found), whole_NC, 1e-6)


def test_no_blocks_give_no_pieces(variables):
    assert list(separate_blocks(GRU, variables, [], RATE)) == []
    assert sum(len(piece.voice_NC) for piece in separate_blocks(GRU, variables, [noise(0)] * 3, 2 * RATE)) == 0


@pytest.mark.parametrize(("rate", "to"), [(48000, 44100), (44100, 11025), (1000, 44100), (44100, 1000), (8, 8)])
@pytest.mark.parametrize("length", [0, 1, 17, 9001])
def test_blocks_at_another_rate(rate, to, length):
    """The very samples that resampling the whole gives."""
    pytest.importorskip("soxr")
    song_NC = noise(length)
    for blocks in ([song_NC], np.array_split(song_NC, 7)):
        found_NC = np.concatenate(list(resample_blocks(blocks, rate, to)))
        np.testing.assert_array_equal(found_NC, resample(song_NC, rate, to))
    assert list(resample_blocks([], rate, to)) == []


def test_blocks_may_come_in_one_buffer(variables):
    mixture_NC, buffer_NC = noise(6000), np.zeros((500, 2), np.float32)

    def blocks():
        for start in range(0, 6000, 500):
            buffer_NC[:] = mixture_NC[start : start + 500]
            yield buffer_NC

    found_NC = np.concatenate([piece.voice_NC for piece in separate_blocks(GRU, variables, blocks(), RATE)])
    assert_close(found_NC, separate(GRU, variables, mixture_NC, RATE).voice_NC, 1e-6)


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_memory_does_not_grow_with_the_song(variables, rate):
    """Traced are NumPy's arrays. A song of eight times the length, 5 MB, may take 0.2 MB more."""
    if rate != RATE:
        pytest.importorskip("soxr")
    block_NC, peaks = noise(4000), []
    separated = separate_blocks(GRU, variables, [block_NC], rate)  # compiles
    assert sum(len(piece.voice_NC) for piece in separated) == 4000
    for blocks in (20, 160):
        tracemalloc.start()
        separated = separate_blocks(GRU, variables, (block_NC.copy() for _ in range(blocks)), rate)
        assert sum(len(piece.voice_NC) for piece in separated) == blocks * 4000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000 < 3_000_000


# Mask and level.


def test_the_mask_is_limited(variables):
    """By NumPy, from the transform of the mixture and of a voice that the published mask has given."""
    mixture_NC = noise(700, channels=1)
    spectrum_MF = np.asarray(stft(mixture_NC[:, 0], SIGNAL))
    mag_MF = np.abs(spectrum_MF)
    frames = np.zeros((-(-len(mag_MF) // 4) * 4 + 4, mag_MF.shape[1]), np.float32)
    frames[2 : 2 + len(mag_MF)] = mag_MF
    cuts_BSF = np.stack([frames[start : start + 8] for start in range(0, len(mag_MF), 4)])
    voice_BTF = build_model(GRU.model).apply(variables, cuts_BSF).voice_BTF
    mask_MF = np.asarray(voice_BTF).reshape(-1, mag_MF.shape[1])[: len(mag_MF)] / np.where(mag_MF > 0, mag_MF, 1)
    for limit in (None, 0.2, np.median(mask_MF).item()):
        limited_MF = mask_MF if limit is None else np.clip(mask_MF, 0, limit)
        expected_N = istft(jnp.asarray(limited_MF * spectrum_MF), len(mixture_NC), SIGNAL)
        assert_close(voice_of(variables, mixture_NC, mask_limit=limit)[:, 0], expected_N, 1e-5)
    assert mask_MF.max() > 0.2


def test_a_normalised_song_is_separated_alike_at_every_level(variables):
    """separate(a · x) = a · separate(x), which the model alone does not do."""
    mixture_NC, config = noise(700), SeparationConfig(level="training")
    how = how_to_separate(Survey([mixture_NC]), config, training_level=1.5)
    voice_NC = voice_of(variables, mixture_NC, gain=how.gain)
    for factor in np.float32([1e-12, 0.1, 2, 1e20]):
        found = how_to_separate(Survey([factor * mixture_NC]), config, training_level=1.5)
        assert_close(voice_of(variables, factor * mixture_NC, gain=found.gain), factor * voice_NC, 1e-5)
    published = voice_of(variables, 2 * mixture_NC), 2 * voice_of(variables, mixture_NC)
    assert np.abs(published[0] - published[1]).max() > 0.01 * np.abs(published[0]).max()


def test_a_gain_is_of_what_the_model_hears(variables):
    """By hand: the song made louder, separated as published, the voice made softer."""
    mixture_NC = noise(700)
    assert_close(voice_of(variables, mixture_NC, gain=8.0), voice_of(variables, 8 * mixture_NC) / 8, 1e-5)


def test_the_level_of_a_song_is_its_root_mean_square():
    """Of the channels' average, without zeros; whatever the blocks. A sine of amplitude a has a / √2."""
    sine_N = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    song_NC = np.stack([1.2 * sine_N, 0.8 * sine_N], axis=1).astype(np.float32)
    padded_NC = np.concatenate([np.zeros((3000, 2), np.float32), song_NC])
    for blocks in ([song_NC], [padded_NC], np.array_split(padded_NC, 17)):
        assert Survey(blocks).level == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert Survey([song_NC, np.zeros((9, 2))]).level == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert [Survey(blocks).level for blocks in ([], [np.zeros((5, 2))])] == [0, 0]


@pytest.mark.parametrize("level", [0.01, 2.0])
def test_magnitudes_have_the_level_of_their_samples(level):
    """Parseval: of noise to 1 %, without the frames of silence."""
    song_NC = level * noise(40_000) / 4
    mag_MF = mono_magnitudes(np.concatenate([np.zeros((5000, 2), np.float32), song_NC]), SIGNAL)
    energy, samples = energy_of_magnitudes(mag_MF, SIGNAL)
    assert np.sqrt(energy / samples) == pytest.approx(Survey([song_NC]).level, rel=0.01)


@pytest.mark.parametrize(
    ("song_NC", "config", "level", "expected"),
    [
        (np.full((9, 1), 0.5), SeparationConfig(), 0.1, How()),
        (np.full((9, 1), 0.5), SeparationConfig(mask_limit=1.0), 0.1, How(mask_limit=1.0)),
        (np.full((9, 1), 0.5), SeparationConfig(mask_limit=np.inf, level="training"), 0.1, How(gain=0.2)),
        (np.full((9, 1), 0.5), SeparationConfig(level="training"), None, How()),
        (np.zeros((9, 1)), SeparationConfig(level="training"), 0.1, How()),
        (np.array([[0.5, -0.5]] * 9), SeparationConfig(level="training"), 0.1, How(gain=0.2, each_channel=True)),
    ],
    ids=["published", "limit", "level", "no level known", "silence", "opposite channels"],
)
def test_how_a_song_is_separated(song_NC, config, level, expected):
    assert how_to_separate(Survey([song_NC]), config, level) == expected


@pytest.mark.parametrize("limit", [0.0, -1.0, np.nan])
def test_a_limit_that_cannot_be(limit):
    with pytest.raises(InputError, match=r"^SeparationConfig.mask_limit: found .*, expected a positive number"):
        SeparationConfig(mask_limit=limit)


# Channels.


def test_opposite_channels_are_separated_each_by_itself(variables):
    """The voice is that of the one channel, with the sign of each; as published there is none."""
    mono_N1 = noise(700, channels=1)
    mixture_NC = np.hstack([mono_N1, -mono_N1])
    how = how_to_separate(Survey([mixture_NC]), SeparationConfig(), None)
    mono_NC = voice_of(variables, mono_N1)
    found_NC = separate(GRU, variables, mixture_NC, RATE, how=how).voice_NC
    assert_close(found_NC, np.hstack([mono_NC, -mono_NC]), 1e-5)
    assert not voice_of(variables, mixture_NC).any()


@pytest.mark.parametrize(("right", "cancels"), [(-1.0, True), (-0.9, True), (-0.7, False), (0.0, False), (1.0, False)])
def test_which_channels_cancel(right, cancels):
    """The average of x and r · x has the power (1 + r)² / 4, the channels (1 + r²) / 2: 0.3 % at -0.9, 3 % at -0.7."""
    mono_N1 = noise(5000, channels=1)
    assert Survey([np.hstack([mono_N1, right * mono_N1])]).channels_cancel is cancels


def test_ordinary_stereo_does_not_cancel():
    """Channels that have nothing in common; a voice in the middle of an inverted accompaniment; one channel; none."""
    voice_N1, other_N1 = noise(5000, channels=1), noise(5000, channels=1, seed=1)
    centred_NC = np.hstack([0.3 * voice_N1 + other_N1, 0.3 * voice_N1 - other_N1])
    for song_NC in (noise(5000), centred_NC, voice_N1, np.zeros((5, 2)), np.zeros((0, 2))):
        assert not Survey([song_NC]).channels_cancel


@pytest.mark.parametrize("size", [1000, 2**16, 2**17, 10**6])
def test_passages_that_cancel_are_found_where_the_song_does_not(size):
    """The third of five, and the last, which is not full; one of -70 dB is no sound. In blocks of any size."""
    passage = 2**16
    mono_N1 = noise(5 * passage + 500, channels=1)
    song_NC = np.hstack([mono_N1, mono_N1])
    for part in (slice(2 * passage, 3 * passage), slice(5 * passage, None)):
        song_NC[part, 1] *= -1
    song_NC[passage : 2 * passage] = 8e-5 * song_NC[2 * passage : 3 * passage]
    survey = Survey(song_NC[at : at + size] for at in range(0, len(song_NC), size))
    assert survey.opposite == (2 * passage, passage + 500)
    assert not survey.channels_cancel
    for other_NC in (np.abs(song_NC), mono_N1, np.zeros((9, 2)), np.zeros((0, 2))):
        assert Survey([other_NC]).opposite == (-1, 0)


@pytest.mark.skipif(not ANTIPHASE.exists(), reason="needs ../shared/cases")
def test_a_real_song_with_an_inverted_channel():
    assert Survey([read_audio(ANTIPHASE).samples_NC]).channels_cancel


# Arrays from users.


def test_sixteen_bits_are_of_full_scale(variables):
    codes_NC = np.random.default_rng(0).integers(-(2**15), 2**15, (700, 2)).astype(np.int16)
    expected = separate(GRU, variables, codes_NC / np.float32(2**15), RATE)
    for found, wanted in zip(separate(GRU, variables, codes_NC, RATE), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("mixture_NC", "text"),
    [
        (np.zeros((2, 441_000), np.float32), r"found shape \(2, 441000\), expected \(N, channels\)"),
        (np.zeros((5, 0), np.float32), r"found shape \(5, 0\), expected \(N, channels\)"),
        (np.zeros((5, 2), np.int32), r"found int32 \(5, 2\), expected floating point with ±1 as full scale, or int16"),
        (np.zeros((5, 2), complex), r"found complex128 \(5, 2\), expected floating point"),
        (np.array([["a"]]), r"found <U1 \(1, 1\), expected floating point"),
        (np.full((5, 2), 1e300), r"found shape \(5, 2\), expected finite samples"),
        (np.zeros((5, 2, 2)), r"found shape \(5, 2, 2\), expected finite samples \(N, channels\)"),
    ],
)
def test_arrays_that_are_no_song(variables, mixture_NC, text):
    with pytest.raises(ValueError, match=f"^mixture_NC: {text}"):
        separate(GRU, variables, mixture_NC, RATE)
    with pytest.raises(ValueError, match=f"^mixture_NC: {text}"):
        list(separate_blocks(GRU, variables, [mixture_NC], RATE))
