"""Oracle: the computation written out: stft, cut_sequences, model, join_sequences, mask, istft, the whole song at once.

Tolerance 1e-5 of the largest value, float32; sums of voice and accompaniment 1e-6.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import GRU, assert_close, open_masks
from whole_songs import cut_sequences, join_sequences

from madsep_jax import LossConfig, build_model, separate, separation
from madsep_jax.config.io import override
from madsep_jax.signal.stft import istft, stft
from madsep_jax.train.batch import clip_input

RATE = GRU.signal.sample_rate
HOP = GRU.signal.hop_length
BLOCK = 8 * GRU.sequences.target_frames * HOP  # samples from one block of the default size to the next
RATIO = dataclasses.replace(GRU, loss=LossConfig(target="ratio_mask"))


@pytest.fixture(scope="module")
def variables():
    return open_masks(GRU)


@pytest.fixture(scope="module")
def written_out(variables):
    apply = jax.jit(build_model(GRU.model).apply)
    analyse = jax.jit(stft, static_argnums=1)

    def separate_voice(config, mixture_NC):
        mag_MF = np.abs(analyse(mixture_NC.mean(axis=1), config.signal))
        mag_MF = np.asarray(clip_input(jnp.asarray(mag_MF), config.loss))
        voice_BTF = np.asarray(apply(variables, cut_sequences(mag_MF, config.sequences)).voice_BTF)
        voice_MF = join_sequences(voice_BTF, len(mag_MF))
        mask_MF = voice_MF / np.where(mag_MF > 0, mag_MF, 1)
        channels = [
            istft(mask_MF * np.asarray(analyse(samples_N, config.signal)), len(samples_N), config.signal)
            for samples_N in mixture_NC.T
        ]
        return np.stack(channels, axis=1)

    return separate_voice


def noise(length, channels=1, seed=0):
    return np.random.default_rng(seed).normal(scale=4, size=(length, channels)).astype(np.float32)


def assert_adds_up(separated, mixture_NC):
    assert separated.voice_NC.shape == separated.accompaniment_NC.shape == mixture_NC.shape
    assert separated.voice_NC.dtype == separated.accompaniment_NC.dtype == np.float32
    assert_close(separated.voice_NC + separated.accompaniment_NC, mixture_NC, 1e-6)


@pytest.mark.parametrize("length", [1, HOP - 1, 100, BLOCK, 3 * BLOCK + 7])
@pytest.mark.parametrize("config", [GRU, RATIO], ids=["magnitude", "ratio mask"])
def test_equals_the_computation_written_out(variables, written_out, config, length):
    mixture_NC = noise(length, channels=2)
    separated = separate(config, variables, mixture_NC, RATE)
    assert_adds_up(separated, mixture_NC)
    assert_close(separated.voice_NC, written_out(config, mixture_NC), 1e-5)
    assert np.abs(separated.voice_NC).max() > 0.1


@pytest.mark.parametrize("sequences_per_block", [1, 3, 50])
def test_the_size_of_the_blocks_does_not_matter(variables, sequences_per_block):
    mixture_NC = noise(BLOCK + 50)
    expected_NC = separate(GRU, variables, mixture_NC, RATE).voice_NC
    found = separate(GRU, variables, mixture_NC, RATE, sequences_per_block=sequences_per_block)
    assert_close(found.voice_NC, expected_NC, 1e-5)


def test_each_channel_gets_the_mask_of_their_average(variables):
    """A channel that is twice the other stays so; the average decides, so that swapping channels swaps the voices."""
    mono_N1 = noise(500)
    voice_NC = separate(GRU, variables, np.hstack([mono_N1, 2 * mono_N1]), RATE).voice_NC
    assert_close(voice_NC[:, 1], 2 * voice_NC[:, 0], 1e-5)
    stereo_NC = noise(500, channels=2, seed=1)
    there, back = (separate(GRU, variables, mix, RATE).voice_NC for mix in (stereo_NC, stereo_NC[:, ::-1]))
    assert_close(back[:, ::-1], there, 1e-5)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (48000, 2), (7999, 1)])
def test_other_rates(variables, rate, channels):
    """The same as by hand: resampled, separated, resampled back, at exactly the length of the mixture."""
    pytest.importorskip("soxr")
    from madsep_jax.audio import resample

    mixture_NC = noise(1501, channels)
    separated = separate(GRU, variables, mixture_NC, rate)
    assert_adds_up(separated, mixture_NC)
    by_hand_NC = resample(separate(GRU, variables, resample(mixture_NC, rate, RATE), RATE).voice_NC, RATE, rate)
    shorter = min(len(by_hand_NC), 1501)
    assert_close(separated.voice_NC[:shorter], by_hand_NC[:shorter], 1e-6)


def test_songs_of_all_lengths_share_one_compilation(variables):
    config = dataclasses.replace(GRU, preset="not compiled before")
    before = separation._jitted_block(jax.default_backend())._cache_size()
    for length in (1, 50, 700, BLOCK, 4 * BLOCK):
        separate(config, variables, noise(length), RATE)
    separate(override(config, {"training.seed": 7}), variables, noise(50), RATE)  # and so do seeds of a system
    assert separation._jitted_block(jax.default_backend())._cache_size() == before + 1


@pytest.mark.parametrize("length", [0, 1, 700])
def test_silence_gives_silence(variables, length):
    separated = separate(GRU, variables, np.zeros((length, 2), np.float32), RATE)
    for samples_NC in separated:
        np.testing.assert_array_equal(samples_NC, np.zeros((length, 2)))


@pytest.mark.parametrize(("shape", "bad"), [((5,), 0.0), ((5, 1), np.nan), ((5, 1), np.inf)])
def test_refusals(variables, shape, bad):
    with pytest.raises(ValueError, match=r"mixture_NC: found shape \(5,.*\), expected finite samples \(N, channels\)"):
        separate(GRU, variables, np.full(shape, bad, np.float32), RATE)
