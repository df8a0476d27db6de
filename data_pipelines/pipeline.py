"""From precomputed spectrograms to the batches that a training step takes, by tf.data."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from data_pipelines.features import TrackFeatures
from data_pipelines.order import TrainingOrder
from madsep_jax.config import SequenceConfig
from madsep_jax.framing import cut_sequence, first_frame
from madsep_jax.train import Batch

_PARALLEL_BATCHES = 2
_PREFETCHED_BATCHES = 4


def training_batches(
    features: Sequence[TrackFeatures], order: TrainingOrder, sequences: SequenceConfig, first_step: int = 0
) -> Iterator[Batch]:
    """Yield the batch of every step from `first_step` (counted from 0) to the last.

    Batches are cut from the spectrograms by parallel calls and made ready ahead of the training. To start at a late
    step costs no more than to start at the first.
    """
    from data_pipelines.tensorflow_cpu import tf

    bins = features[0].mix_MF.shape[1]
    epoch_order = functools.lru_cache(maxsize=2)(order.epoch)
    size = order.training.batch_size

    def cut_batch(step: np.int64) -> tuple[np.ndarray, np.ndarray]:
        epoch, batch = divmod(int(step), order.steps_per_epoch)
        chosen = epoch_order(epoch)[batch * size : (batch + 1) * size]
        mix_BSF = np.empty((size, sequences.frames, bins), np.float32)
        voice_BTF = np.empty((size, sequences.target_frames, bins), np.float32)
        for row, (song, index) in enumerate(zip(order.song_of[chosen], order.index_in_song[chosen], strict=True)):
            start = first_frame(int(index), sequences)
            mix_BSF[row] = cut_sequence(features[song].mix_MF, start, sequences.frames)
            voice_BTF[row] = cut_sequence(features[song].voice_MF, start + sequences.context, sequences.target_frames)
        return mix_BSF, voice_BTF

    dataset = (
        tf.data.Dataset.range(first_step, order.total_steps)
        .map(
            tf.autograph.experimental.do_not_convert(
                lambda step: tf.numpy_function(cut_batch, [step], [tf.float32, tf.float32], stateful=False)
            ),
            num_parallel_calls=_PARALLEL_BATCHES,
            deterministic=True,
        )
        .prefetch(_PREFETCHED_BATCHES)
    )
    for mix_BSF, voice_BTF in dataset.as_numpy_iterator():
        yield Batch(mix_BSF, voice_BTF)
