"""How loud a song is, and whether its channels cancel: what one pass over it finds before it is separated."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from madsep_jax.config.signal import SeparationConfig, SignalConfig
from madsep_jax.signal.stft import analysis_window

#: Channels cancel where their average has less than this share of their power (-20 dB; 0.5 where they have nothing in
#: common, 1 where they are equal).
_CANCELLING = 0.01

#: Samples of a passage, which may cancel where the song does not; of less power (-60 dB) it is no sound.
_PASSAGE, _FAINT = 2**16, 1e-6

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
        self._count, self._passage = 0, np.zeros(2)
        self._first_opposite, self._opposite = -1, 0
        for block_NC in blocks_NC:
            self.add(block_NC)

    def add(self, block_NC: np.ndarray) -> None:
        """Take the next samples (N, channels), ±1 being full scale."""
        while len(block_NC):
            size = min(_PASSAGE - self._count % _PASSAGE, len(block_NC))
            part_CN = np.asarray(block_NC[:size].T, np.float64, order="C")
            block_NC = block_NC[size:]
            mean_N = part_CN.mean(axis=0)
            energies = np.array([np.square(mean_N).sum(), np.square(part_CN).sum() / len(part_CN)])
            self._mean_energy += float(energies[0])
            self._energy += float(energies[1])
            self._mean_sounding += int(np.count_nonzero(mean_N))
            self._sounding += int(np.count_nonzero(part_CN.any(axis=0)))
            self._count, self._passage = self._count + size, self._passage + energies
            if self._count % _PASSAGE == 0:
                self._first_opposite, self._opposite = self.opposite
                self._passage = np.zeros(2)

    @property
    def opposite(self) -> tuple[int, int]:
        """The first sample, and the number, of passages (65536 samples) whose channels cancel; (-1, 0): of none."""
        mean_energy, energy = self._passage
        size = (self._count - 1) % _PASSAGE + 1
        if not energy > _FAINT * size or mean_energy >= _CANCELLING * energy:
            return self._first_opposite, self._opposite
        first = self._first_opposite if self._opposite else self._count - size
        return first, self._opposite + size

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
