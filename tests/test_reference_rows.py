"""The rows without training: the mixture as estimate, and the ideal ratio mask."""

import importlib.util

import numpy as np
import pytest
from noise_songs import RATE, WINDOWS, song

from madsep_jax.config.signal import SignalConfig

if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from experiments.scoring.estimators import ideal_ratio_mask, mixture_as_voice
from experiments.scoring.museval_engine import bss_eval_v4
from experiments.scoring.score_song import score_song

SMALL = SignalConfig(sample_rate=RATE, window_length=401, hop_length=80, fft_length=512)


def test_mixture_row_is_the_ratio_of_the_sources():
    mixture_NC, voice_NC, _ = song()
    estimates = mixture_as_voice(mixture_NC)
    scores = score_song(
        "s", mixture_NC, voice_NC, estimates.voice_NC, RATE, accompaniment_estimate_NC=estimates.accompaniment_NC
    )
    voice_W = (voice_NC**2).reshape(WINDOWS, -1).sum(1)
    accompaniment_W = ((mixture_NC - voice_NC) ** 2).reshape(WINDOWS, -1).sum(1)
    expected_W = 10 * np.log10(voice_W / accompaniment_W)
    np.testing.assert_allclose(scores.targets["vocals"]["SDR"], expected_W, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores.targets["accompaniment"]["SDR"], -expected_W, rtol=0, atol=1e-5)
    without = score_song("s", mixture_NC, voice_NC, estimates.voice_NC, RATE)
    assert without.counts("vocals").valid == 0


def test_ideal_ratio_mask_beats_the_mixture():
    mixture_NC, voice_NC, _ = (array_NC.astype(np.float32) for array_NC in song())
    masked, mixture = ideal_ratio_mask(mixture_NC, voice_NC, SMALL), mixture_as_voice(mixture_NC)
    assert masked.voice_NC.shape == mixture_NC.shape
    np.testing.assert_allclose(masked.voice_NC + masked.accompaniment_NC, mixture_NC, atol=1e-6)
    sdr = {
        row: bss_eval_v4(np.stack([voice_NC, mixture_NC - voice_NC]), np.stack(estimates), RATE).sdr_SW
        for row, estimates in (("mask", masked), ("mixture", mixture))
    }
    assert (sdr["mask"] > sdr["mixture"] + 3).all()  # two white noises of one level


def test_ideal_ratio_mask_of_the_ends_of_the_scale():
    """A mixture that is all voice comes back whole, one without a voice comes back silent, silence stays silence."""
    mixture_NC = song()[0].astype(np.float32)
    np.testing.assert_allclose(ideal_ratio_mask(mixture_NC, mixture_NC, SMALL).voice_NC, mixture_NC, atol=1e-6)
    np.testing.assert_array_equal(ideal_ratio_mask(mixture_NC, 0 * mixture_NC, SMALL).voice_NC, 0 * mixture_NC)
    np.testing.assert_array_equal(ideal_ratio_mask(0 * mixture_NC, 0 * mixture_NC, SMALL).voice_NC, 0 * mixture_NC)


def test_ideal_ratio_mask_is_the_ratio_of_magnitudes():
    """For voice = a * mixture with 0 < a < 1 the mask is a at every bin, so the estimate is the voice itself."""
    mixture_NC = song(2)[0].astype(np.float32)
    voice_NC = 0.3 * mixture_NC
    np.testing.assert_allclose(ideal_ratio_mask(mixture_NC, voice_NC, SMALL).voice_NC, voice_NC, atol=1e-6)


def test_ideal_ratio_mask_refuses_other_shapes():
    with pytest.raises(ValueError, match="voice of shape"):
        ideal_ratio_mask(np.zeros((10, 2)), np.zeros((10, 1)), SMALL)
