"""The memory that a train step of a DWS-CNN plans to take. Oracle: the arrays that its gradient needs, counted."""

import dataclasses

import pytest
from tiny import DWS

from madsep_jax import ComputeConfig, DwsMaskerConfig, SequenceConfig, SignalConfig, TrainingConfig
from madsep_jax.train.step import compile_train_step, init_state

BATCH, FRAMES, CHANNELS = 32, 60, 32  # so large that no block goes over whole arrays


@pytest.mark.parametrize("layers", [1, 4])
def test_a_step_holds_little_more_than_the_input_of_each_block(layers):
    """In units of one array between blocks of the encoder.

    Kept for the gradient: the input of each of the encoder's blocks and the last one's output, in one buffer; and the
    upsampled array, twice as large. Its block's gradient goes through one more of that size. Four tenths of a unit are
    for the second block of the decoder, the 1.15 is for margins and chunks.
    """
    config = dataclasses.replace(
        DWS,
        signal=SignalConfig(sample_rate=22050, window_length=1025, hop_length=192, fft_length=2048),
        sequences=SequenceConfig(frames=FRAMES, context=10),
        masker=DwsMaskerConfig(layers=layers, channels=CHANNELS, kernel=5, dropout=0.1),
        training=TrainingConfig(batch_size=BATCH),
        compute=ComputeConfig(operations="fast"),
    )
    step, _ = compile_train_step(config, init_state(config))
    unit = 4 * BATCH * FRAMES * (config.signal.bins // 5) * CHANNELS
    planned = step.memory_analysis().temp_size_in_bytes / unit
    assert planned < 1.15 * ((layers + 1) + 2 + 2 + 0.4), planned
