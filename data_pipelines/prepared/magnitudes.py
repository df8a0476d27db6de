"""Magnitudes that are the same to the bit wherever they are computed.

In float64 on the host, one transform at a time, rounded at the end: they depend neither on the number of cores nor on
the device, as those of XLA do in the last bits. They equal `madsep_jax.signal.stft.mono_magnitudes` to float32's
rounding.
"""

import numpy as np

from madsep_jax.config.signal import SignalConfig
from madsep_jax.signal.stft import EDGE_HOPS, analysis_window, frame_count, full_frame_count

_BLOCK_FRAMES = 512


def mono_magnitudes_of_pcm(pcm_NC: np.ndarray, config: SignalConfig, dtype: str) -> np.ndarray:
    """Return |STFT| of the average of the channels, of int16 samples: (frames, F) of that type."""
    import scipy.fft

    full, hop, width = full_frame_count(len(pcm_NC), config), config.hop_length, config.window_length
    padded_N = np.zeros(max((full - 1) * hop + width, EDGE_HOPS * hop + len(pcm_NC)))
    padded_N[EDGE_HOPS * hop : EDGE_HOPS * hop + len(pcm_NC)] = pcm_NC.mean(axis=1, dtype=np.float64) / 2**15
    frames_MW = np.lib.stride_tricks.sliding_window_view(padded_N, width)[::hop][:full]
    window_W = analysis_window(config)
    mag_MF = np.zeros((frame_count(len(pcm_NC), config), config.bins), dtype)
    for start in range(0, full, _BLOCK_FRAMES):
        # where in the buffer a frame starts changes its phase alone
        spectrum_MF = scipy.fft.rfft(frames_MW[start : start + _BLOCK_FRAMES] * window_W, config.fft_length)
        # by operations that IEEE 754 rounds in one way; np.abs takes others on other processors
        power_MF = spectrum_MF.real**2 + spectrum_MF.imag**2
        mag_MF[start : start + len(power_MF)] = np.sqrt(power_MF)
    return mag_MF
