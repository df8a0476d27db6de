"""Oracle: the magnitude of `stft` of the averaged channels, in one piece. Tolerance 1e-6 of the largest value."""

import jax
import numpy as np
import pytest
from tiny import SIGNAL, assert_close

from madsep_jax.signal.stft import full_frame_count, mono_magnitudes, stft

HOP = SIGNAL.hop_length
FILLS_A_BLOCK = 1023 * HOP + SIGNAL.window_length - 6 * HOP  # 1024 full frames exactly


@pytest.mark.parametrize("length", [1, HOP, FILLS_A_BLOCK, FILLS_A_BLOCK + HOP, 2 * FILLS_A_BLOCK + 5])
def test_blocks_equal_one_piece(length):
    samples_NC = np.random.default_rng(length).normal(size=(length, 2)).astype(np.float32)
    found_MF = mono_magnitudes(samples_NC, SIGNAL)
    assert found_MF.dtype == np.float32
    assert_close(found_MF, np.abs(jax.jit(stft, static_argnums=1)(samples_NC.mean(axis=1), SIGNAL)), 1e-6)


def test_the_lengths_above_lie_on_both_sides_of_a_block():
    assert full_frame_count(FILLS_A_BLOCK, SIGNAL) == 1024
    assert full_frame_count(FILLS_A_BLOCK + HOP, SIGNAL) == 1025
