"""A song as all of its sequences at once, and back: what the pipelines do a sequence at a time."""

import numpy as np

from madsep_jax.config.signal import SequenceConfig
from madsep_jax.signal.framing import cut_sequence, first_frame, sequence_count


def cut_sequences(frames_NF: np.ndarray, config: SequenceConfig, batch_size: int = 1) -> np.ndarray:
    """Cut a song's frames (frames, F) into sequences (B, S, F)."""
    count = sequence_count(len(frames_NF), config, batch_size)
    sequences = [cut_sequence(frames_NF, first_frame(i, config), config.frames) for i in range(count)]
    return np.stack(sequences) if sequences else np.zeros((0, config.frames, *frames_NF.shape[1:]), frames_NF.dtype)


def join_sequences(targets_BTF: np.ndarray, frames: int) -> np.ndarray:
    """Lay the middle frames (B, T, F) of a song cut with `tail="pad"` one after the other; (frames, F).

    The exact inverse of `cut_sequences` followed by `middle_frames`.

    Raises:
        ValueError: where the sequences do not reach to the last frame.
    """
    joined = targets_BTF.reshape(-1, *targets_BTF.shape[2:])
    if len(joined) < frames:
        raise ValueError(f"{len(targets_BTF)} sequences hold {len(joined)} frames, expected at least {frames}")
    return joined[:frames]
