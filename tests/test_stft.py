"""Oracles: the published implementation's numbers, a plain loop around numpy.fft, and the signal itself.

Tolerances are shares of the largest value: 1e-6 in float64 where the file holds float32, 1e-4 in float32 there;
1e-10 for the plain loop in float64; for round trips 1e-10 in float64 and 1e-5 in float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SIGNAL, assert_close, enable_float64, reference

from madsep_jax.config.signal import SignalConfig
from madsep_jax.signal.stft import analysis_window, frame_count, full_frame_count, istft, overlapped_squares, stft

FILE = reference("stft")
HOP = SIGNAL.hop_length


def plain_stft(samples_N, config):
    """The same, frame by frame, as the module's first paragraph says it."""
    hop, width, edge = config.hop_length, config.window_length, np.zeros(3 * config.hop_length)
    padded = np.concatenate([edge, samples_N, edge])
    spectrum_MF = np.zeros((len(samples_N) // hop + 6, config.fft_length // 2 + 1), complex)
    for number in range(len(spectrum_MF)):
        frame = padded[number * hop : number * hop + width]
        if len(frame) < width:
            continue  # empty, as published
        windowed = frame * np.hamming(width) / np.sqrt(config.fft_length)
        buffer = np.zeros(config.fft_length)
        for i in range(width):
            buffer[(i - width // 2) % config.fft_length] = windowed[i]
        spectrum_MF[number] = np.fft.rfft(buffer)
    return spectrum_MF


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 1e-4)])
def test_spectrum_is_the_published_one(dtype, tolerance):
    with enable_float64():
        spectrum_MF = np.asarray(jax.jit(stft)(FILE["signal"].astype(dtype)))
    assert spectrum_MF.dtype == np.result_type(dtype, np.complex64)
    assert_close(np.abs(spectrum_MF), FILE["magnitude"], tolerance)
    expected_MF = FILE["magnitude"] * np.exp(1j * FILE["phase"].astype(np.float64))
    assert_close(spectrum_MF, expected_MF, tolerance)
    loud_MF = FILE["magnitude"] > 0.01 * FILE["magnitude"].max()
    turn_MF = np.angle(spectrum_MF * np.exp(-1j * FILE["phase"].astype(np.float64)))
    assert np.abs(turn_MF[loud_MF]).max() < 100 * tolerance


def test_within_a_signal_the_synthesis_window_is_the_published_one():
    """There, `istft` multiplies each frame by the analysis window over its overlapped squares."""
    config = SignalConfig()
    inner = slice(10 * config.hop_length, 10 * config.hop_length + config.window_length)
    window_W = analysis_window(config) / overlapped_squares(20, config)[inner]
    assert_close(window_W, FILE["synthesis_window"], 1e-6)


def test_reconstruction_is_the_published_one(float64):
    spectrum_MF = FILE["magnitude"] * np.exp(1j * FILE["phase"].astype(np.float64))
    samples_N = istft(jnp.asarray(spectrum_MF), len(FILE["signal"]))
    inner = slice(1000, 10000)  # where as many frames overlap as the published window counts on
    assert_close(samples_N[inner], FILE["reconstruction"][inner], 1e-6)


@pytest.mark.parametrize("length", [1, 11, 12, 13, 64, 500])
@pytest.mark.parametrize(
    "config",
    [SIGNAL, SignalConfig(sample_rate=8000, window_length=50, hop_length=10, fft_length=50)],
    ids=["odd window", "even window, no padding"],
)
def test_equals_the_plain_loop(float64, length, config):
    samples_N = np.random.default_rng(length).normal(size=length)
    assert_close(stft(samples_N, config), plain_stft(samples_N, config), 1e-10)


@pytest.mark.thorough
@settings(max_examples=40)
@given(st.integers(1, 600), st.sampled_from([(np.float64, 1e-10), (np.float32, 1e-5)]))
def test_round_trip_at_any_length(length, precision):
    dtype, tolerance = precision
    samples_N = np.random.default_rng(length).normal(size=length).astype(dtype)
    with enable_float64():
        back_N = jax.jit(lambda x: istft(stft(x, SIGNAL), length, SIGNAL))(samples_N)
    assert back_N.dtype == dtype
    assert_close(back_N, samples_N, tolerance)


@pytest.mark.parametrize("precision", [(np.float64, 1e-10), (np.float32, 1e-5)], ids=["float64", "float32"])
@pytest.mark.parametrize("length", [1, HOP - 1, HOP, 127, 600])
def test_round_trip(length, precision):
    test_round_trip_at_any_length.hypothesis.inner_test(length, precision)


def test_round_trip_of_the_papers_config(float64):
    samples_N = np.random.default_rng(0).normal(size=10007)
    back_N = jax.jit(lambda x: istft(stft(x), 10007))(samples_N)
    assert_close(back_N, samples_N, 1e-6)


def test_batched_equals_unbatched():
    samples_ABN = np.random.default_rng(0).normal(size=(2, 3, 130)).astype(np.float32)
    spectrum_ABMF = stft(samples_ABN, SIGNAL)
    back_ABN = istft(spectrum_ABMF, 130, SIGNAL)
    for index in np.ndindex(2, 3):
        assert_close(spectrum_ABMF[index], stft(samples_ABN[index], SIGNAL), 1e-6)
        assert_close(back_ABN[index], samples_ABN[index], 1e-5)


def test_jit_changes_nothing():
    samples_N = np.random.default_rng(0).normal(size=130).astype(np.float32)
    spectrum_MF = stft(samples_N, SIGNAL)
    assert_close(jax.jit(stft, static_argnums=1)(samples_N, SIGNAL), spectrum_MF, 1e-6)
    assert_close(jax.jit(istft, static_argnums=(1, 2))(spectrum_MF, 130, SIGNAL), istft(spectrum_MF, 130, SIGNAL), 1e-6)


def test_gradient_flows():
    """The transform is linear and the round trip the identity, so the gradient of its energy is twice the signal."""
    samples_N = np.random.default_rng(0).normal(size=130).astype(np.float32)
    gradient_N = jax.jit(jax.grad(lambda x: jnp.sum(istft(stft(x, SIGNAL), 130, SIGNAL) ** 2)))(samples_N)
    assert_close(gradient_N, 2 * samples_N, 1e-5)


def test_frame_counts():
    config = SignalConfig()
    assert [frame_count(n, config) for n in (0, 383, 384, 12000)] == [6, 6, 7, 37]
    # The last full frame ends at 2049 + 384 (full - 1) <= samples + 2304.
    assert [full_frame_count(n, config) for n in (0, 128, 129, 12000)] == [1, 1, 2, 32]


def test_other_number_of_frames_is_refused():
    spectrum_MF = stft(np.ones(130, np.float32), SIGNAL)
    with pytest.raises(ValueError, match="spectrum has 16 frames, a signal of 160 samples has 19"):
        istft(spectrum_MF, 160, SIGNAL)
