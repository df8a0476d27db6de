"""The training songs of a prepared set, read record by record in any order."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.prepared.index import read_index
from data_pipelines.prepared.records import Example
from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.prepared.shard import open_shard, read_record
from madsep_jax.errors import InputError
from madsep_jax.train.batch import Batch, WaveformBatch

#: Shards held open at a time, below the system's usual limit of 1024 open files.
_OPEN_SHARDS = 512


class PreparedSongs:
    """One split of a prepared set; a `data_pipelines.batches.sources.Source`."""

    def __init__(self, folder: Path, split: str = "train") -> None:
        """Open a set. Raises InputError where it is none, or has no such split."""
        self.folder, self.index = folder, read_index(folder)
        self.tracks = self.index.split(split)
        if not self.tracks:
            raise InputError(f"{folder}: found no songs of the split {split!r}, expected at least one")
        self._paths = self.index.shard_paths(folder, split)
        self._decode = example_decoder(self.index.settings)
        self._reader = functools.lru_cache(_OPEN_SHARDS)(lambda song: open_shard(self._paths[song]))

    @property
    def song_frames(self) -> list[int]:
        """Frames of each song."""
        return [track.frames for track in self.tracks]

    @property
    def silent(self) -> list[list[int]]:
        """Of each song, which sequences are without voice."""
        return [track.silent for track in self.tracks]

    def example(self, song: int, number: int) -> Example:
        """Return the contents of a record. Raises InputError where it is damaged, or its shard missing."""
        return self._decode(read_record(self._reader(song), self._paths[song], number))

    def silence(self, size: int) -> Any:
        """Return a batch of silent sequences, in the records' own type."""
        settings = self.index.settings
        mix = np.zeros((size, *settings.mix_shape), settings.dtype)
        voice = np.zeros((size, *settings.voice_shape), settings.dtype)
        if settings.features == "waveform":
            return WaveformBatch(mix, voice, np.zeros((size, 2), np.int32))
        return Batch(mix, voice)

    def fill(self, batch: Any, row: int, song: int, number: int) -> None:
        """Put a song's sequence of that number into a row."""
        example = self.example(song, number)
        for array, name in zip(batch, ("mixture", "voice", "frames"), strict=False):
            array[row] = example[name]


def example_decoder(settings: FeatureSettings) -> Callable[[bytes], Example]:
    """Return what reads a record, the inverse of `shard.example_encoder`.

    The arrays are views of the record's bytes, not to be written to.
    """
    from data_pipelines.tensorflow_cpu import tf

    shapes = {"mixture": settings.mix_shape, "voice": settings.voice_shape}

    def decode(record: bytes) -> Example:
        fields = tf.train.Example.FromString(record).features.feature
        arrays = {
            name: np.frombuffer(fields[name].bytes_list.value[0], settings.dtype).reshape(shape)
            for name, shape in shapes.items()
        }
        track, offset = fields["track"].bytes_list.value[0].decode(), fields["offset"].int64_list.value[0]
        return {"track": track, "offset": offset, "frames": tuple(fields["frames"].int64_list.value), **arrays}

    return decode
