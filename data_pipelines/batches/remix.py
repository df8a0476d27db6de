"""Mixtures made anew for each epoch, from the voice of one sequence and the accompaniment of it or of another.

Of magnitudes, whose sum is not known, only the level.

As the field does it (A. Défossez et al., Music Source Separation in the Waveform Domain, 2019, sec. 4.2; S. Uhlich et
al., Improving Music Source Separation Based on Deep Neural Networks Through Data Augmentation and Network Blending,
ICASSP 2017), for the two sources that are separated here.
"""

from typing import Any

import numpy as np

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.sources import Source
from data_pipelines.prepared.reader import PreparedSongs
from madsep_jax.errors import InputError
from madsep_jax.train.batch import Batch, WaveformBatch

_FULL_SCALE = np.float32(2**15)


class Remix:
    """Fills rows of batches with mixtures made anew: a pure function of seed, epoch, and place in the epoch."""

    def __init__(self, songs: Source, order: TrainingOrder) -> None:
        """Take prepared waveforms, and the order with its settings. Raises InputError where they are none."""
        if not (isinstance(songs, PreparedSongs) and songs.index.settings.features == "waveform"):
            raise InputError("DataConfig.channel_swap, remix: need a prepared set of waveforms")
        self._songs, self._order, self._config = songs, order, order.data

    def silence(self, size: int) -> WaveformBatch:
        """Return a batch of silent sequences, float32."""
        mix_BNC, voice_BNC, frames_B2 = self._songs.silence(size)
        return WaveformBatch(mix_BNC.astype(np.float32), voice_BNC.astype(np.float32), frames_B2)

    def fill(self, batch: Any, row: int, sequence: int, epoch: int, place: int) -> None:
        """Put a sequence of the order, at that place of that epoch, into a row."""
        config, order = self._config, self._order
        random = np.random.RandomState([order.training.seed, epoch, place, 2])
        # always all draws, so that one setting does not change what another one draws
        remixed = random.uniform() < config.remix
        voice_gain, other_gain = 10 ** (random.uniform(-config.gain_db, config.gain_db, 2) / 20)
        swap_voice, swap_other = random.uniform(size=2) < config.channel_swap
        voice_NC, other_NC, frames = self._sources(sequence)
        if remixed:
            partner = self._of_another_song(random, sequence)
            _, other_NC, partner_frames = self._sources(partner)
            frames = (min(frames[0], partner_frames[0]), max(frames[1], partner_frames[1]))
        voice_NC = np.float32(voice_gain) * (voice_NC[:, ::-1] if swap_voice else voice_NC)
        other_NC = np.float32(other_gain) * (other_NC[:, ::-1] if swap_other else other_NC)
        batch.mix_BNC[row], batch.voice_BNC[row], batch.frames_B2[row] = voice_NC + other_NC, voice_NC, frames

    def _sources(self, sequence: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """Return the voice, what else is in the mixture, and which frames are the song's."""
        song, number = self._order.song_of[sequence], self._order.index_in_song[sequence]
        example = self._songs.example(int(song), int(number))
        mix_NC, voice_NC = (example[name] / _FULL_SCALE for name in ("mixture", "voice"))
        return voice_NC, mix_NC - voice_NC, example["frames"]

    def _of_another_song(self, random: np.random.RandomState, sequence: int) -> int:
        """Draw a sequence of another song; of this one where there is no other."""
        song_of = self._order.song_of  # in order
        first, end = np.searchsorted(song_of, [song_of[sequence], song_of[sequence] + 1])
        others = len(song_of) - (end - first)
        if not others:
            return sequence
        drawn = int(random.randint(others))
        return drawn if drawn < first else drawn + int(end - first)


class Gains:
    """Fills rows of batches with magnitudes that are louder or softer: a pure function, as those of `Remix` are."""

    def __init__(self, songs: Source, order: TrainingOrder) -> None:
        """Take songs, and the order with its settings. Raises InputError where they have no magnitudes."""
        if not isinstance(songs.silence(1), Batch):
            raise InputError("DataConfig.features: found 'spectrogram', expected 'waveform', which the songs are")
        self._songs, self._order = songs, order

    def silence(self, size: int) -> Batch:
        """Return a batch of silent sequences, float32."""
        return Batch(*(np.asarray(mag, np.float32) for mag in self._songs.silence(size)))

    def fill(self, batch: Any, row: int, sequence: int, epoch: int, place: int) -> None:
        """Put a sequence of the order, at that place of that epoch, into a row."""
        order = self._order
        random = np.random.RandomState([order.training.seed, epoch, place, 2])
        gain = np.float32(10 ** (random.uniform(-order.data.gain_db, order.data.gain_db) / 20))
        self._songs.fill(batch, row, int(order.song_of[sequence]), int(order.index_in_song[sequence]))
        for mag in batch:
            mag[row] *= gain
