"""Which sequences a step takes: with silent ones left out, with a last batch filled up, and by several processes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import SEQUENCES

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.sources import SongSpectrograms
from madsep_jax import DataConfig, InputError, TrainingConfig

SONG_FRAMES = [9, 14, 4, 23, 5]  # 3 + 4 + 1 + 6 + 2 = 16 sequences of T = 4
SILENT = [[0], [1, 2, 3], [], [5], [0]]  # 6 of them
TRAINING = TrainingConfig(batch_size=3, epochs=4, seed=7)


def order_of(silent=SILENT, training=TRAINING, **data):
    return TrainingOrder.of_songs(SONG_FRAMES, SEQUENCES, training, DataConfig(**data), silent)


def silent_numbers(order):
    return {int(i) for i in np.flatnonzero(order.silent)}


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (0.5, 3), (1 / 6, 1)])
def test_silent_sequences_are_left_out(share, kept):
    order = order_of(silent_share=share)
    assert silent_numbers(order) == {0, 4, 5, 6, 13, 14}
    epochs = [order.epoch(epoch).tolist() for epoch in range(60)]
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == order.epoch_length == 10 + kept
        assert set(range(16)) - silent_numbers(order) <= set(epoch)
    if kept:
        assert set().union(*epochs) == set(range(16))  # each silent one comes in its turn
    assert order.steps_per_epoch == (10 + kept) // 3


def test_all_silent_sequences_are_the_order_as_it_is():
    assert order_of(silent_share=1.0).epoch(3).tolist() == order_of(silent=None).epoch(3).tolist()


def test_silence_that_is_not_known():
    with pytest.raises(InputError, match=r"^DataConfig.silent_share: needs a prepared set"):
        order_of(silent=None, silent_share=0.5)


def test_too_few_sequences_with_voice():
    with pytest.raises(InputError, match="found 10 sequences in 5 songs, expected at least one batch of 11"):
        order_of(training=dataclasses.replace(TRAINING, batch_size=11), silent_share=0.0)


@pytest.mark.parametrize("order", ["global", "passes"])
def test_a_last_batch_is_filled_up(order):
    training = dataclasses.replace(TRAINING, order=order)
    found = order_of(training=training, last_batch="pad")
    assert (found.steps_per_epoch, found.total_steps) == (6, 24)
    assert order_of(training=dataclasses.replace(training, batch_size=4), last_batch="pad").steps_per_epoch == 4


# The batches.


@pytest.fixture(scope="module")
def source():
    from data_pipelines.songs.spectrograms import TrackFeatures

    songs = [np.tile(100 * i + np.arange(n) + 1, (2, 1)).T.astype(np.float32) for i, n in enumerate(SONG_FRAMES)]
    return SongSpectrograms([TrackFeatures(f"song {i}", mix_MF, -mix_MF) for i, mix_MF in enumerate(songs)], SEQUENCES)


@pytest.fixture(scope="module")
def training_batches():
    pytest.importorskip("tensorflow")
    from data_pipelines.batches.pipeline import training_batches

    return training_batches


def first_frames(batch):
    """Middle frames of each sequence start with a number that tells them apart; 0 where there is silence."""
    return [float(-row[0, 0]) for row in batch.voice_BTF]


def test_padding_is_silence_and_every_sequence_comes_once(source, training_batches):
    batches = list(training_batches(source, order_of(last_batch="pad")))
    for epoch in range(4):
        seen = [number for batch in batches[6 * epoch : 6 * epoch + 6] for number in first_frames(batch)]
        assert len(set(seen[:16])) == 16
        assert seen[16:] == [0, 0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_processes_share_the_same_batches(source, training_batches, count):
    order = order_of(training=dataclasses.replace(TRAINING, batch_size=4))
    whole = list(training_batches(source, order))
    shares = [list(training_batches(source, order, 0, (number, count))) for number in range(count)]
    assert len(whole) == 16
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert all(len(part.mix_BSF) == 4 // count for part in parts)
        np.testing.assert_array_equal(np.concatenate([part.mix_BSF for part in parts]), batch.mix_BSF)
        np.testing.assert_array_equal(np.concatenate([part.voice_BTF for part in parts]), batch.voice_BTF)


def test_a_batch_that_cannot_be_shared(source, training_batches):
    with pytest.raises(InputError, match="batch_size: found 3, expected a multiple of the 2 processes"):
        next(training_batches(source, order_of(), 0, (0, 2)))


@given(st.integers(0, 3_000_000), st.integers(0, 99))
def test_the_order_of_a_late_step_needs_no_earlier_one(step, seed):
    """Epochs asked for in any order are the same."""
    order = order_of(training=dataclasses.replace(TRAINING, seed=seed), silent_share=0.5)
    epoch = step // order.steps_per_epoch
    again = order_of(training=dataclasses.replace(TRAINING, seed=seed), silent_share=0.5)
    again.epoch(0)
    assert order.epoch(epoch).tolist() == again.epoch(epoch).tolist()


def test_a_million_steps_on_nothing_has_been_read(training_batches):
    """Resuming reads what its first batches need, and no sequence before them."""
    order = order_of(training=dataclasses.replace(TRAINING, steps=1_000_010))
    counting = Counting()
    batches = training_batches(counting, order, 1_000_000)
    first = next(batches)
    batches.close()
    assert counting.filled <= 3 * 10  # those of the last ten steps
    epoch, batch = divmod(1_000_000, order.steps_per_epoch)
    assert first.mix_BSF[:, 0, 0].tolist() == order.epoch(epoch)[3 * batch : 3 * batch + 3].tolist()


class Counting:
    """Sequences that hold their number in the order."""

    song_frames, silent, filled = SONG_FRAMES, None, 0

    def silence(self, size):
        from madsep_jax.train.batch import Batch

        return Batch(np.zeros((size, 1, 1), np.float32), np.zeros((size, 1, 1), np.float32))

    def fill(self, batch, row, song, number):
        self.filled += 1
        batch.mix_BSF[row] = [0, 3, 7, 8, 14][song] + number


def test_batches_go_to_the_device_in_order_and_ahead():
    import jax

    from data_pipelines.batches.to_device import prefetch_to_device

    taken = []

    def batches():
        for number in range(5):
            taken.append(number)
            yield {"x": np.full(2, number)}

    out = prefetch_to_device(batches(), ahead=2)
    first = next(out)
    assert isinstance(first["x"], jax.Array)
    assert taken == [0, 1, 2]
    assert [int(batch["x"][0]) for batch in (first, *out)] == [0, 1, 2, 3, 4]
