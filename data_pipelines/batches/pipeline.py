"""From the songs' sequences to the batches that a training step takes, by tf.data."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.remix import Gains, Remix
from data_pipelines.batches.sources import AnyBatch, Source
from madsep_jax.errors import InputError

_PARALLEL_BATCHES = 2
_PREFETCHED_BATCHES = 4


def training_batches(
    source: Source, order: TrainingOrder, first_step: int = 0, shard: tuple[int, int] = (0, 1)
) -> Iterator[AnyBatch]:
    """Yield the batch of every step of an order from `first_step` (counted from 0) to the last.

    Batches are filled by parallel calls and made ready ahead of the training. To start at a late step costs no more
    than to start at the first: a batch is a function of its step alone.

    `shard` is the number of this process and how many there are; each takes its rows of every batch, one after the
    other. Raises InputError where a record cannot be read, or a batch cannot be shared among the processes.
    """
    from data_pipelines.tensorflow_cpu import tf

    fill = _Filler(source, order, shard)
    failures: list[InputError] = []

    def fill_step(step: np.int64) -> list[np.ndarray]:
        try:
            return list(fill(int(step)))
        except InputError as error:  # tf.data would turn it into one of its own, with a traceback in its text
            failures.append(error)
            raise

    kind = type(fill.example)
    settings = tf.data.Options()
    # Nothing is left to it, and its thread, which sleeps ever longer, at times holds up the end of the batches so long.
    settings.autotune.enabled = False
    dataset = (
        tf.data.Dataset.range(first_step, order.total_steps)
        .map(
            tf.autograph.experimental.do_not_convert(
                lambda step: tf.numpy_function(
                    fill_step, [step], [array.dtype for array in fill.example], stateful=False
                )
            ),
            num_parallel_calls=_PARALLEL_BATCHES,
            deterministic=True,
        )
        .prefetch(_PREFETCHED_BATCHES)
        .with_options(settings)
    )
    try:
        for arrays in dataset.as_numpy_iterator():
            yield kind(*arrays)
    except tf.errors.OpError:
        if failures:
            raise failures[0] from None
        raise


def example_batch(source: Source, order: TrainingOrder, shard: tuple[int, int] = (0, 1)) -> AnyBatch:
    """Return a batch of silence like those that `training_batches` yields."""
    return _Filler(source, order, shard).example


class _Filler:
    """Makes the batch of any step."""

    def __init__(self, source: Source, order: TrainingOrder, shard: tuple[int, int]) -> None:
        number, count = shard
        size = order.training.batch_size
        if size % count:
            raise InputError(f"TrainingConfig.batch_size: found {size}, expected a multiple of the {count} processes")
        self._source, self._order = source, order
        self._rows = range(number * size // count, (number + 1) * size // count)
        anew = Remix if order.data.features == "waveform" else Gains
        self._remix: Any = anew(source, order) if order.data.mixes_anew else None
        self._epoch_order = functools.lru_cache(maxsize=2)(order.epoch)
        self.example = self._silence()

    def __call__(self, step: int) -> Any:
        epoch, batch_number = divmod(step, self._order.steps_per_epoch)
        chosen = self._epoch_order(epoch)
        batch = self._silence()
        for row, row_of_all in enumerate(self._rows):
            place = batch_number * self._order.training.batch_size + row_of_all
            if place >= len(chosen):
                break  # the rest of the last batch stays silent
            sequence = int(chosen[place])
            if self._remix:
                self._remix.fill(batch, row, sequence, epoch, place)
            else:
                order = self._order
                self._source.fill(batch, row, int(order.song_of[sequence]), int(order.index_in_song[sequence]))
        return batch

    def _silence(self) -> Any:
        return (self._remix or self._source).silence(len(self._rows))
