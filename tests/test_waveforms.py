"""Magnitudes made on the device. Oracle: the same sequences cut from the whole song's spectrogram."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SIGNAL, assert_close

from madsep_jax import SequenceConfig
from madsep_jax.signal.framing import (
    cut_sequence,
    first_frame,
    sequence_count,
    song_frames,
    window_samples,
    window_start,
)
from madsep_jax.signal.stft import frame_count, stft
from madsep_jax.train.batch import WaveformBatch, magnitudes_of

SHAPES = [SequenceConfig(frames=8, context=2), SequenceConfig(frames=7, context=0), SequenceConfig(frames=1, context=0)]


_stft = jax.jit(lambda mono_N: stft(mono_N, SIGNAL))
_magnitudes_of = jax.jit(magnitudes_of, static_argnums=(1, 2))


def song(samples):
    return np.random.default_rng(samples).integers(-(2**15), 2**15, (samples, 2)).astype(np.int16)


def whole_song_sequences(samples_NC, sequences):
    """Mixture and middle frames, from the transform of the whole signal in float64."""
    mag_MF = np.abs(_stft(samples_NC.astype(np.float64).mean(axis=1) / 2**15))
    starts = [first_frame(i, sequences) for i in range(sequence_count(len(mag_MF), sequences))]
    mix_BSF = np.stack([cut_sequence(mag_MF, start, sequences.frames) for start in starts])
    context = sequences.context
    return mix_BSF, mix_BSF[:, context : sequences.frames - context]


def windows(samples_NC, sequences):
    count = sequence_count(frame_count(len(samples_NC), SIGNAL), sequences)
    starts = [window_start(i, SIGNAL, sequences) for i in range(count)]
    cut_BNC = np.stack([cut_sequence(samples_NC, start, window_samples(SIGNAL, sequences)) for start in starts])
    frames_B2 = [song_frames(i, len(samples_NC), SIGNAL, sequences) for i in range(count)]
    return WaveformBatch(cut_BNC, cut_BNC, np.array(frames_B2, np.int32))


@pytest.mark.parametrize("sequences", SHAPES, ids=["context", "no context", "single frames"])
@pytest.mark.parametrize("tail", ["pad", "drop"])
def test_windows_give_the_whole_songs_magnitudes(float64, sequences, tail):
    """Also where a song ends within its first window, and where its last frames are empty."""
    sequences = SequenceConfig(frames=sequences.frames, context=sequences.context, tail=tail)
    for samples in (1, 65, 1003, 1011):
        if not sequence_count(frame_count(samples, SIGNAL), sequences):
            continue
        batch = windows(song(samples), sequences)
        as_float = WaveformBatch(batch.mix_BNC / 2**15, batch.voice_BNC / 2**15, batch.frames_B2)
        for found, expected in zip(
            _magnitudes_of(as_float, SIGNAL, sequences), whole_song_sequences(song(samples), sequences), strict=True
        ):
            assert_close(found, expected, 1e-12)


@settings(max_examples=5)
@given(st.integers(1, 1200))
def test_sixteen_bits_in_single_precision(samples):
    mix_BSF, voice_BTF = _magnitudes_of(windows(song(samples), SHAPES[0]), SIGNAL, SHAPES[0])
    assert mix_BSF.dtype == voice_BTF.dtype == jnp.float32
    expected_BSF, expected_BTF = whole_song_sequences(song(samples), SHAPES[0])
    assert_close(mix_BSF, expected_BSF, 2e-6)
    assert_close(voice_BTF, expected_BTF, 2e-6)


def test_silence_is_silent():
    batch = WaveformBatch(np.full((1, 149, 2), 9, np.int16), np.full((1, 149, 2), 9, np.int16), np.zeros((1, 2), int))
    assert not any(np.any(mag) for mag in _magnitudes_of(batch, SIGNAL, SHAPES[0]))
