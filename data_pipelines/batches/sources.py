"""Where the sequences of a batch come from: whole songs' spectrograms, or a prepared set's records; their level."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.songs.spectrograms import TrackFeatures
from madsep_jax.config.signal import SequenceConfig, SignalConfig
from madsep_jax.signal.framing import cut_sequence, first_frame, sequence_count
from madsep_jax.train.batch import Batch, WaveformBatch, energy_of

AnyBatch = Batch | WaveformBatch

#: Sequences of which the level is taken.
_HEARD = 512


class Source(Protocol):
    """Songs, cut into sequences that can be had in any order."""

    @property
    def song_frames(self) -> Sequence[int]:
        """Frames of each song."""

    @property
    def silent(self) -> Sequence[Sequence[int]] | None:
        """Of each song, which sequences are without voice; None where it is not known."""

    def silence(self, size: int) -> Any:
        """Return a batch of so many silent sequences, of new NumPy arrays."""

    def fill(self, batch: Any, row: int, song: int, number: int) -> None:
        """Put a song's sequence of that number into a row. Called by several threads. Raises InputError."""


class SongSpectrograms:
    """Spectrograms of whole songs, as `load_features` returns them; cut as they are used."""

    silent = None

    def __init__(self, features: Sequence[TrackFeatures], sequences: SequenceConfig) -> None:
        """Take songs, and how to cut them."""
        self._features, self._sequences = features, sequences

    @property
    def song_frames(self) -> list[int]:
        """Frames of each song."""
        return [track.frames for track in self._features]

    def silence(self, size: int) -> Batch:
        """Return a batch of silent sequences, float32."""
        sequences, bins = self._sequences, self._features[0].mix_MF.shape[1]
        mix_BSF = np.zeros((size, sequences.frames, bins), np.float32)
        return Batch(mix_BSF, np.zeros((size, sequences.target_frames, bins), np.float32))

    def fill(self, batch: Any, row: int, song: int, number: int) -> None:
        """Put a song's sequence of that number into a row."""
        sequences, track = self._sequences, self._features[song]
        start = first_frame(number, sequences)
        batch.mix_BSF[row] = cut_sequence(track.mix_MF, start, sequences.frames)
        batch.voice_BTF[row] = cut_sequence(track.voice_MF, start + sequences.context, sequences.target_frames)


def held_out_batches(source: SongSpectrograms, sequences: SequenceConfig, size: int) -> Iterator[tuple[Batch, int]]:
    """Yield batches of `size` sequences, and how many of each are the songs': the last batch ends with silence."""
    places = [
        (song, number)
        for song, frames in enumerate(source.song_frames)
        for number in range(sequence_count(frames, sequences))
    ]
    for start in range(0, len(places), size):
        batch, chosen = source.silence(size), places[start : start + size]
        for row, (song, number) in enumerate(chosen):
            source.fill(batch, row, song, number)
        yield batch, len(chosen)


def mixture_level(source: Source, order: TrainingOrder, signal: SignalConfig) -> float | None:
    """Return the root mean square of the mixtures, the average of their channels: ±1 is full scale, zeros are left out.

    Of 512 sequences at even distances, or all where there are fewer; None where they are silent. Of magnitudes it is
    that of the samples that they are of (Parseval). Raises InputError where a record cannot be read.
    """
    energy = count = 0.0
    chosen = np.linspace(0, len(order.song_of) - 1, min(len(order.song_of), _HEARD)).round().astype(int)
    for song, number in zip(order.song_of[chosen], order.index_in_song[chosen], strict=True):
        batch = source.silence(1)
        source.fill(batch, 0, int(song), int(number))
        more = energy_of(batch, signal)
        energy, count = energy + more[0], count + more[1]
    return float(np.sqrt(energy / count)) if energy else None
