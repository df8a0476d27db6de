"""Oracles: the published implementation's sequences, and frames that carry their own number. All exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import reference, under
from whole_songs import cut_sequences, join_sequences

from madsep_jax.config.signal import SequenceConfig
from madsep_jax.signal.framing import cut_sequence, middle_frames, sequence_count

FILE = reference("sequences")

configs = st.builds(
    lambda target, context, tail: SequenceConfig(frames=target + 2 * context, context=context, tail=tail),
    st.integers(1, 12),
    st.integers(0, 15),
    st.sampled_from(["pad", "drop"]),
)


def numbered(frames, bins=2):
    """Frames that hold their number, counted from 1 so that none is silent."""
    return np.tile(np.arange(1.0, frames + 1)[:, None], bins)


@pytest.mark.parametrize("case", "0123")
def test_drop_is_the_published_cut(case):
    case = under(FILE, f"{case}/")
    config = SequenceConfig(frames=int(case["sequence_length"]), context=int(case["overlap"]) // 2, tail="drop")
    found = cut_sequences(case["mixture"], config, int(case["batch"]))
    np.testing.assert_array_equal(found, case["sequences"])


@given(frames=st.integers(0, 100), config=configs.filter(lambda config: config.tail == "pad"))
def test_cut_then_middle_then_join_is_the_identity(frames, config):
    song_NF = numbered(frames)
    sequences_BSF = cut_sequences(song_NF, config)
    assert sequences_BSF.shape == (-(-frames // config.target_frames), config.frames, 2)
    middle_BTF = middle_frames(sequences_BSF, config.context)
    assert middle_BTF.shape[1] == config.target_frames
    np.testing.assert_array_equal(join_sequences(middle_BTF, frames), song_NF)


@given(frames=st.integers(0, 60), config=configs, batch=st.integers(1, 3))
def test_every_frame_of_a_sequence_is_the_songs_frame_or_silence(frames, config, batch):
    sequences_BSF = cut_sequences(numbered(frames), config, batch)
    lead = config.context if config.tail == "pad" else 0
    for (b, s), value in np.ndenumerate(sequences_BSF[..., 0]):
        number = b * config.target_frames - lead + s
        assert value == (number + 1 if 0 <= number < frames else 0)


def test_context_is_the_neighbouring_frames():
    config = SequenceConfig(frames=7, context=2)
    sequences_BSF = cut_sequences(numbered(8, bins=1), config)
    assert sequences_BSF[..., 0].tolist() == [
        [0, 0, 1, 2, 3, 4, 5],
        [2, 3, 4, 5, 6, 7, 8],
        [5, 6, 7, 8, 0, 0, 0],
    ]


@given(frames=st.integers(0, 500), batch=st.integers(1, 5))
def test_drop_counts_whole_batches(frames, batch):
    count = sequence_count(frames, SequenceConfig(tail="drop"), batch)
    assert count % batch == 0
    assert count <= frames / 40 < count + batch


def test_cut_wholly_outside_is_silence():
    assert not cut_sequence(numbered(5), 9, 4).any()
    assert not cut_sequence(numbered(5), -7, 4).any()


def test_cut_keeps_the_dtype():
    assert cut_sequences(np.ones((5, 2), np.float32), SequenceConfig()).dtype == np.float32
    assert cut_sequences(np.ones((0, 2), np.float32), SequenceConfig()).dtype == np.float32


def test_join_refuses_too_few_sequences():
    with pytest.raises(ValueError, match=r"^2 sequences hold 6 frames, expected at least 7$"):
        join_sequences(np.zeros((2, 3, 4)), 7)
