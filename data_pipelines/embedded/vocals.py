"""The voice: harmonics of the pitch shaped by the formants, and the consonants' noise."""

import numpy as np
from scipy.signal import sosfilt

from data_pipelines.embedded.curves import taper, to_samples
from data_pipelines.embedded.filters import band_pass
from data_pipelines.embedded.phones import BANDWIDTHS, NOISE_BANDS
from data_pipelines.embedded.singing import Singer, Singing
from data_pipelines.embedded.streams import Draws

#: No harmonic lies above this frequency, whatever the sample rate.
CEILING_HZ = 9000.0


def render_voice(noise_draws: Draws, singer: Singer, singing: Singing, samples: int, sample_rate: int) -> np.ndarray:
    """The voice (N,) at a sample rate in Hz."""
    voice_N = _harmonics(singer, singing, samples, sample_rate)
    for band, edges_hz in enumerate(NOISE_BANDS):
        level_N = to_samples(singing.noise_JQ[:, band], samples, sample_rate)
        voice_N += level_N * sosfilt(band_pass(*edges_hz, sample_rate), noise_draws.noise(samples, sample_rate))
    return voice_N


def harmonic_levels(singer: Singer, singing: Singing, ceiling_hz: float) -> np.ndarray:
    """Amplitude (J, K) of each harmonic: glottal slope times the formant resonances at its own frequency.

    Glottal flow falls by about 12 dB an octave and radiation at the lips raises it by 6; `source_slope` is
    the exponent of what is left. Half of the difference in level (dB) between vowels is evened out.
    """
    harmonics_K = np.arange(1, int(ceiling_hz / singing.pitch_J.min()) + 1)
    frequency_JK = singing.pitch_J[:, None] * harmonics_K
    level_JK = harmonics_K**-singer.source_slope * taper(frequency_JK, ceiling_hz)
    squared_JK = frequency_JK**2
    for number, bandwidth in enumerate(BANDWIDTHS):
        centre_J1 = singing.formants_JR[:, number, None] ** 2
        level_JK *= centre_J1 / np.sqrt((centre_J1 - squared_JK) ** 2 + bandwidth**2 * squared_JK)
    level_JK *= (level_JK**2).sum(axis=1, keepdims=True) ** -0.25
    return level_JK * singing.voicing_J[:, None]


def _harmonics(singer: Singer, singing: Singing, samples: int, sample_rate: int) -> np.ndarray:
    """The sum of the harmonics (N,), by sin(kx) = 2 cos(x) sin((k-1)x) - sin((k-2)x)."""
    level_JK = harmonic_levels(singer, singing, min(CEILING_HZ, 0.49 * sample_rate))
    phase_N = 2 * np.pi / sample_rate * np.cumsum(to_samples(singing.pitch_J, samples, sample_rate))
    twice_cosine_N = 2 * np.cos(phase_N)
    before_N, sine_N = np.zeros(samples), np.sin(phase_N)
    voice_N = np.zeros(samples)
    for level_J in level_JK.T:
        voice_N += to_samples(level_J, samples, sample_rate) * sine_N
        before_N, sine_N = sine_N, twice_cosine_N * sine_N - before_N
    return voice_N
