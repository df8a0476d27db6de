"""Batches of all sequences of some songs, in order, for a loss that is averaged over them."""

from collections.abc import Iterator

from data_pipelines.sources import SongSpectrograms
from madsep_jax.config import SequenceConfig
from madsep_jax.framing import sequence_count
from madsep_jax.train import Batch


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
