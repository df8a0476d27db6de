"""Where the sequences of a batch come from: whole songs' spectrograms, or the records of a prepared set."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from data_pipelines.songs.spectrograms import TrackFeatures
from madsep_jax.config.signal import SequenceConfig
from madsep_jax.signal.framing import cut_sequence, first_frame, sequence_count
from madsep_jax.train.batch import Batch, WaveformBatch

AnyBatch = Batch | WaveformBatch


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
