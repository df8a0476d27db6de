"""Where a training stands in its data, and that a checkpoint of other data is refused."""

import json

import numpy as np
import pytest

from data_pipelines.batches.order import TrainingOrder, check_position, data_position
from madsep_jax import InputError, SequenceConfig, TrainingConfig
from madsep_jax.config.signal import DataConfig

SEQUENCES = SequenceConfig(frames=8, context=2)


def order(frames=(9, 14, 4), silent=None, data=None, **training):
    config = TrainingConfig(**{"batch_size": 2, "seed": 7, **training})
    return TrainingOrder.of_songs(frames, SEQUENCES, config, data, silent)


def test_epoch_and_step():
    """8 sequences, so 4 steps an epoch."""
    steps = [data_position(order(), step) for step in (0, 3, 4, 9)]
    assert [(each["epoch"], each["step_of_epoch"]) for each in steps] == [(0, 0), (0, 3), (1, 0), (2, 1)]
    assert {each["steps_per_epoch"] for each in steps} == {4}


def test_the_same_order_is_taken():
    """As it comes back from JSON, and whatever the number of steps that are to be done in all."""
    check_position(json.loads(json.dumps(data_position(order(), 5))), order(epochs=3), "here")


SILENT = [[0], [1, 2], []]


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (order(seed=8), "seed 7, expected 8"),
        (order(batch_size=1), "batch_size 2, steps_per_epoch 4, expected 1, 8"),
        (order(frames=(9, 14)), "steps_per_epoch 4, sequences 8, order '"),
        (order(frames=(14, 9, 4)), "found order '"),
        (order(order="passes", songs_per_pass=3), "found order '"),
        (order(data=DataConfig(last_batch="pad")), "found order '"),
        (order(data=DataConfig(features="waveform", remix=0.5)), "found order '"),
        (order(data=DataConfig(silent_share=0.5), silent=SILENT), "order '"),
    ],
)
def test_another_order_is_refused(other, field):
    with pytest.raises(InputError) as caught:
        check_position(data_position(order(), 5), other, "runs/x")
    assert str(caught.value).startswith("runs/x: was trained on other data or in another order, found ")
    assert field in str(caught.value)


def test_which_sequences_are_silent_matters():
    data = DataConfig(silent_share=0.5)
    one, other = (data_position(order(data=data, silent=each), 0) for each in (SILENT, [[1], [1, 2], []]))
    assert one["order"] != other["order"]
    assert np.isclose(one["sequences"], other["sequences"])


def test_a_damaged_position_is_refused():
    with pytest.raises(InputError, match="found seed None"):
        check_position({}, order(), "here")
