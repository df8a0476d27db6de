"""The order in which sequences are trained on, and where in it a training stands.

The order is a pure function of seed and epoch, so that any step can be resumed. A checkpoint says where its training
stands, and of which data.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from madsep_jax.config.signal import DataConfig, SequenceConfig
from madsep_jax.config.training import TrainingConfig
from madsep_jax.errors import InputError
from madsep_jax.signal.framing import sequence_count


@dataclass(frozen=True)
class TrainingOrder:
    """All sequences of a data set, and the order in which each epoch takes them."""

    song_of: np.ndarray
    """Index of each sequence's song."""
    index_in_song: np.ndarray
    """Number of each sequence within its song."""
    training: TrainingConfig
    data: DataConfig = field(default_factory=DataConfig)
    silent: np.ndarray | None = None
    """Whether each sequence is without voice; None where it does not matter."""

    @classmethod
    def of_songs(
        cls,
        song_frames: Sequence[int],
        sequences: SequenceConfig,
        training: TrainingConfig,
        data: DataConfig | None = None,
        silent: Sequence[Sequence[int]] | None = None,
    ) -> "TrainingOrder":
        """List the sequences of songs of so many frames; `silent` says which of each song's are without voice.

        In the order `passes`, songs that do not fill a pass are left out, as in the released code (the last two of
        DSD100's 50); where there are fewer than one pass takes, all are used.

        Raises InputError where an epoch has fewer sequences than a batch takes, or it is not known which are silent.
        """
        data = data or DataConfig()
        counts = [sequence_count(frames, sequences, training.batch_size) for frames in song_frames]
        if training.order == "passes":
            counts = counts[: len(counts) // training.songs_per_pass * training.songs_per_pass] or counts
        order = cls(
            song_of=np.repeat(np.arange(len(counts)), counts),
            index_in_song=np.concatenate([np.arange(count) for count in counts]) if counts else np.arange(0),
            training=training,
            data=data,
            silent=_marked(counts, silent) if data.silent_share < 1 else None,
        )
        if order.epoch_length < training.batch_size:
            raise InputError(
                f"training songs: found {order.epoch_length} sequences in {len(counts)} songs, expected at least one "
                f"batch of {training.batch_size}"
            )
        return order

    @property
    def epoch_length(self) -> int:
        """Sequences in an epoch: all but the silent ones that it leaves out."""
        silent = 0 if self.silent is None else int(np.count_nonzero(self.silent))
        return len(self.song_of) - silent + round(self.data.silent_share * silent)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; with `last_batch` "drop" what is left over waits for the next epoch's order."""
        left_over = self.epoch_length % self.training.batch_size > 0
        return self.epoch_length // self.training.batch_size + (left_over and self.data.last_batch == "pad")

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.training.steps or self.training.epochs * self.steps_per_epoch

    def epoch(self, epoch: int) -> np.ndarray:
        """Return the sequences in the order of an epoch: indices into `song_of` and `index_in_song`."""
        random = np.random.RandomState([self.training.seed, epoch])  # a stream that NumPy keeps for good
        taken = self._taken(epoch)
        if self.training.order == "global":
            return random.permutation(taken)
        passes = self.song_of[taken] // self.training.songs_per_pass
        return np.concatenate([random.permutation(taken[passes == number]) for number in np.unique(passes)])

    def _taken(self, epoch: int) -> np.ndarray:
        """Return the sequences of an epoch, in order."""
        if self.silent is None:
            return np.arange(len(self.song_of))
        random = np.random.RandomState([self.training.seed, epoch, 1])
        left_out = random.permutation(np.flatnonzero(self.silent))[: len(self.song_of) - self.epoch_length]
        return np.delete(np.arange(len(self.song_of)), left_out)


def _marked(counts: Sequence[int], silent: Sequence[Sequence[int]] | None) -> np.ndarray:
    if silent is None:
        raise InputError("DataConfig.silent_share: needs a prepared set, which knows the sequences without voice")
    marks = [np.isin(np.arange(count), numbers) for count, numbers in zip(counts, silent, strict=False)]
    return np.concatenate(marks) if marks else np.zeros(0, bool)


def data_position(order: TrainingOrder, step: int) -> dict[str, Any]:
    """Return where a training stands after `step` steps, as a JSON object: epoch, step within it, and of which order.

    The order of an epoch is a function of the seed and the epoch alone, so that nothing more is needed to go on.
    """
    epoch, step_of_epoch = divmod(step, order.steps_per_epoch)
    return {"epoch": epoch, "step_of_epoch": step_of_epoch, **_order(order)}


def check_position(position: Mapping[str, Any], order: TrainingOrder, place: str) -> None:
    """Raise InputError, naming `place`, where a saved position is one of another order than this."""
    expected = _order(order)
    wrong = [name for name in expected if position.get(name) != expected[name]]
    if wrong:
        shown = ", ".join(f"{name} {position.get(name)!r}" for name in wrong)
        wanted = ", ".join(repr(expected[name]) for name in wrong)
        raise InputError(f"{place}: was trained on other data or in another order, found {shown}, expected {wanted}")


def _order(order: TrainingOrder) -> dict[str, Any]:
    return {
        "seed": order.training.seed,
        "batch_size": order.training.batch_size,
        "steps_per_epoch": order.steps_per_epoch,
        "sequences": len(order.song_of),
        "order": _fingerprint(order),
    }


def _fingerprint(order: TrainingOrder) -> str:
    """Return what tells orders of the same size apart."""
    settings = [order.training.order, order.training.songs_per_pass, dataclasses.asdict(order.data)]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in (order.song_of, order.index_in_song, order.silent):
        digest.update(b"none" if array is None else np.ascontiguousarray(array, np.int64).tobytes())
    return digest.hexdigest()[:16]
