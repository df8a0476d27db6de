"""Magnitudes of prepared sets. Oracle: the transform of the whole signal in float64; other block sizes, to the bit."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SIGNAL, assert_close, enable_float64

pytest.importorskip("scipy")

from data_pipelines.prepared import records as magnitudes
from madsep_jax.signal.stft import stft

_stft = jax.jit(lambda mono_N: stft(mono_N, SIGNAL))


def song(samples):
    return np.random.default_rng(samples).integers(-(2**15), 2**15, (samples, 2)).astype(np.int16)


@settings(max_examples=5)
@given(st.integers(1, 1200))
def test_rounded_once(samples):
    """To half a step of each type, beside the 1e-12 by which two transforms differ."""
    pcm_NC = song(samples)
    with enable_float64():
        expected_MF = np.abs(_stft(pcm_NC.astype(np.float64).mean(axis=1) / 2**15))
    for dtype in ("float32", "float16"):
        found_MF = magnitudes.mono_magnitudes_of_pcm(pcm_NC, SIGNAL, dtype)
        assert found_MF.dtype == dtype
        tiny = float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(
            found_MF.astype(np.float64), expected_MF, rtol=0.5001 * float(np.finfo(dtype).eps), atol=1e-12 + tiny
        )


def test_the_same_whatever_is_computed_at_once(monkeypatch):
    """As by one transform after the other, in which no two share a vector of the processor."""
    pcm_NC = song(1511)
    whole_MF = magnitudes.mono_magnitudes_of_pcm(pcm_NC, SIGNAL, "float32")
    for frames in (1, 3, 8):
        monkeypatch.setattr(magnitudes, "_BLOCK_FRAMES", frames)
        np.testing.assert_array_equal(magnitudes.mono_magnitudes_of_pcm(pcm_NC, SIGNAL, "float32"), whole_MF)


def test_equals_the_library():
    from madsep_jax.signal.stft import mono_magnitudes

    pcm_NC = song(1511)
    found_MF = magnitudes.mono_magnitudes_of_pcm(pcm_NC, SIGNAL, "float32")
    assert_close(found_MF, mono_magnitudes(pcm_NC / np.float32(2**15), SIGNAL), 1e-6)
