"""How loud a song is, and whether its channels cancel: what one pass over it finds before it is separated."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from madsep_jax.config.signal import SeparationConfig, SignalConfig
from madsep_jax.signal.stft import analysis_window

#: Channels cancel where their average has less than this share of their power (-20 dB; 0.5 where they have nothing in
#: common, 1 where they are equal).
_CANCELLING = 0.01

#: No gain makes sound of less.
_SILENT = 1e-30


@dataclass(frozen=True)
class How:
    """How one song is separated; by default as published."""

    mask_limit: float | None = None
    """Largest value of the mask; None for no limit."""
    gain: float = 1.0
    """By which the song is multiplied for the model, and its voice divided."""
    each_channel: bool = False
    """Whether each channel gets the mask of its own magnitudes, in place of that of the channels' average."""


AS_PUBLISHED = How()


class Survey:
    """What is found of a song's blocks: `add` each, in any sizes. The memory is that of a few numbers."""

    def __init__(self, blocks_NC: Iterable[np.ndarray] = ()) -> None:
        """Take the blocks that there are now."""
        self._mean_energy = self._energy = 0.0
        self._mean_sounding = self._sounding = 0
        for block_NC in blocks_NC:
            self.add(block_NC)

    def add(self, block_NC: np.ndarray) -> None:
        """Take the next samples (N, channels), ±1 being full scale."""
        for start in range(0, len(block_NC), 2**16):
            part_CN = np.asarray(block_NC[start : start + 2**16].T, np.float64, order="C")
            mean_N = part_CN.mean(axis=0)
            self._mean_energy += float(np.square(mean_N).sum())
            self._mean_sounding += int(np.count_nonzero(mean_N))
            self._energy += float(np.square(part_CN).sum()) / len(part_CN)
            self._sounding += int(np.count_nonzero(part_CN.any(axis=0)))

    @property
    def channels_cancel(self) -> bool:
        """Whether the channels' average, which the models read, has less than 1 % of the channels' power."""
        return self._mean_energy < _CANCELLING * self._energy

    @property
    def level(self) -> float:
        """Root mean square of the channels' average, or where they cancel of the channels, over all samples but zeros.

        0 where there is no sound.
        """
        cancel = self.channels_cancel
        energy, count = (self._energy, self._sounding) if cancel else (self._mean_energy, self._mean_sounding)
        return float(np.sqrt(energy / count)) if count else 0.0


def how_to_separate(survey: Survey, config: SeparationConfig, training_level: float | None) -> How:
    """Return how a song is separated, of which a pass has found this.

    Args:
        survey: of all its blocks.
        config: what is wished.
        training_level: stored with the checkpoint; where there is none, the song's level stays as it is.
    """
    gain = 1.0
    if config.level == "training" and training_level and survey.level > _SILENT:
        gain = training_level / survey.level
    return How(mask_limit=config.mask_limit, gain=gain, each_channel=survey.channels_cancel)


def energy_of_magnitudes(mag_MF: np.ndarray, config: SignalConfig) -> tuple[float, int]:
    """Return the energy of the samples that frames are of, and the number of these, silent frames left out.

    By Parseval's theorem: a frame has the energy of its windowed samples, and stands for those of a hop.
    """
    sounding_MF = np.asarray(mag_MF, np.float64)[np.any(mag_MF, axis=1)]
    both_sides_F = np.full(config.bins, 2.0)
    both_sides_F[[0, -1]] = 1.0
    windowed = float((sounding_MF**2 @ both_sides_F).sum()) / config.fft_length
    mean_square = float(np.mean(analysis_window(config) ** 2))
    per_sample = windowed / (config.window_length * mean_square)
    return per_sample * config.hop_length, len(sounding_MF) * config.hop_length
