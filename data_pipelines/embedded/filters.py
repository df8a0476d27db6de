"""Filters that keep their place at every sample rate, as far as it reaches."""

import numpy as np
from scipy.signal import butter


def band_pass(low_hz: float, high_hz: float, sample_rate: int) -> np.ndarray:
    """Second-order sections of a Butterworth band-pass; at a low sample rate its edges (Hz) move down."""
    high_hz = min(high_hz, 0.45 * sample_rate)
    low_hz = min(low_hz, 0.7 * high_hz)
    return butter(2, [low_hz, high_hz], "bandpass", fs=sample_rate, output="sos")
