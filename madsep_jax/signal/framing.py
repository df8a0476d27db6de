"""Cut a song's frames into overlapping sequences, and put the model's output back together.

Sequences of S frames start T = S - 2L frames apart, so that their middle T frames tile the song.

Frame k of a song covers the samples from (k - 3) * hop on (`madsep_jax.signal.stft`), so the S frames of a sequence lie
in one window of N = (S - 1) * hop + window_length samples. Frames before a song's first and after its last are silent
there even where their window reaches into the song, so a batch of waveforms says which frames are the song's.
"""

from typing import TypeVar

import jax
import numpy as np

from madsep_jax.config.signal import SequenceConfig, SignalConfig
from madsep_jax.signal.stft import EDGE_HOPS, full_frame_count

Array = TypeVar("Array", np.ndarray, jax.Array)


def sequence_count(frames: int, config: SequenceConfig, batch_size: int = 1) -> int:
    """Sequences that a song of so many frames is cut into.

    With `tail="pad"` these are ceil(frames / T) (sec. III-A of the DWS paper); with `tail="drop"` floor(frames / T),
    rounded down to whole batches, as in the released code.
    """
    if config.tail == "pad":
        return -(-frames // config.target_frames)
    return frames // config.target_frames // batch_size * batch_size


def first_frame(index: int, config: SequenceConfig) -> int:
    """Frame of the song at which a sequence starts; negative where its context lies before the song.

    With `tail="pad"` the middle frames of sequence 0 are the song's first; with `tail="drop"` its first frame is.
    """
    lead = config.context if config.tail == "pad" else 0
    return index * config.target_frames - lead


def cut_sequence(frames_NF: np.ndarray, start: int, count: int) -> np.ndarray:
    """Return `count` frames from frame `start` on, with zeros where the song has none; (count, F)."""
    sequence_SF = np.zeros((count, *frames_NF.shape[1:]), frames_NF.dtype)
    inside = slice(max(start, 0), max(min(start + count, len(frames_NF)), 0))
    part = frames_NF[inside]
    offset = inside.start - start
    sequence_SF[offset : offset + len(part)] = part
    return sequence_SF


def middle_frames(sequences_BSF: Array, context: int) -> Array:
    """Drop the context frames at both ends: (B, S, F) to (B, T, F)."""
    return sequences_BSF[:, context : sequences_BSF.shape[1] - context]


def window_samples(signal: SignalConfig, sequences: SequenceConfig) -> int:
    """Return N, the samples that a sequence's frames cover."""
    return (sequences.frames - 1) * signal.hop_length + signal.window_length


def window_start(index: int, signal: SignalConfig, sequences: SequenceConfig) -> int:
    """Return the sample of the song at which the window of its sequence of that number starts; it may be negative."""
    return (first_frame(index, sequences) - EDGE_HOPS) * signal.hop_length


def song_frames(index: int, samples: int, signal: SignalConfig, sequences: SequenceConfig) -> tuple[int, int]:
    """Return which frames of a sequence are those of a song of so many samples: the first, and one past the last."""
    start = first_frame(index, sequences)
    full = full_frame_count(samples, signal)
    first, end = np.clip([-start, full - start], 0, sequences.frames)
    return int(first), int(end)
