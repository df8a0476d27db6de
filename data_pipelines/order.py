"""The order in which sequences are trained on: a pure function of seed and epoch, so that any step can be resumed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from madsep_jax.config import SequenceConfig, TrainingConfig
from madsep_jax.errors import InputError
from madsep_jax.framing import sequence_count


@dataclass(frozen=True)
class TrainingOrder:
    """All sequences of a data set, and the order in which each epoch takes them."""

    song_of: np.ndarray
    """Index of each sequence's song."""
    index_in_song: np.ndarray
    """Number of each sequence within its song."""
    training: TrainingConfig

    @classmethod
    def of_songs(
        cls, song_frames: Sequence[int], sequences: SequenceConfig, training: TrainingConfig
    ) -> "TrainingOrder":
        """List the sequences of songs of so many frames.

        In the order `passes`, songs that do not fill a pass are left out, as in the released code (the last two of
        DSD100's 50); where there are fewer than one pass takes, all are used.

        Raises:
            InputError: where there are fewer sequences than a batch takes.
        """
        counts = [sequence_count(frames, sequences, training.batch_size) for frames in song_frames]
        if training.order == "passes":
            counts = counts[: len(counts) // training.songs_per_pass * training.songs_per_pass] or counts
        if sum(counts) < training.batch_size:
            raise InputError(
                f"training songs: found {sum(counts)} sequences in {len(counts)} songs, expected at least one batch "
                f"of {training.batch_size}"
            )
        return cls(
            song_of=np.repeat(np.arange(len(counts)), counts),
            index_in_song=np.concatenate([np.arange(count) for count in counts]),
            training=training,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what is left over waits for the next epoch's order."""
        return len(self.song_of) // self.training.batch_size

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.training.steps or self.training.epochs * self.steps_per_epoch

    def epoch(self, epoch: int) -> np.ndarray:
        """Return the sequences in the order of an epoch: indices into `song_of` and `index_in_song`."""
        random = np.random.RandomState([self.training.seed, epoch])  # a stream that NumPy keeps for good
        if self.training.order == "global":
            return random.permutation(len(self.song_of))
        passes = self.song_of // self.training.songs_per_pass
        return np.concatenate([random.permutation(np.flatnonzero(passes == number)) for number in np.unique(passes)])
