"""Cut a song that comes in blocks into overlapping windows of one length, and put what becomes of them together.

The frames are those of `madsep_jax.signal.stft`, and so is the synthesis; the memory is that of a few windows.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from madsep_jax.config.signal import SignalConfig
from madsep_jax.signal.stft import EDGE_HOPS, full_frame_count, overlapped_squares


class SampleQueue:
    """Samples (N, channels) that wait, in the order in which they came."""

    def __init__(self) -> None:
        """Wait for samples."""
        self._parts_NC: list[np.ndarray] = []
        self.count = 0

    def put(self, samples_NC: np.ndarray) -> None:
        """Put samples at the end."""
        self._parts_NC.append(samples_NC)
        self.count += len(samples_NC)

    def take(self, count: int, keep: int = 0) -> np.ndarray:
        """Return the first `count` samples, of which the last `keep` stay."""
        joined_NC = np.concatenate(self._parts_NC) if len(self._parts_NC) > 1 else self._parts_NC[0]
        self._parts_NC = [joined_NC[count - keep :]]
        self.count -= count - keep
        return joined_NC[:count]


class Window(NamedTuple):
    """The samples under a block's frames and under the context on both sides of it."""

    samples_CN: np.ndarray
    first_frame: int
    """Of the block, without its context."""
    song_frames: int
    """Of the whole song; where more of it is to come, at least those that the window has."""
    end: int
    """Sample of the song up to which all is known once the block's frames are."""


def cut_windows(blocks_NC: Iterable[np.ndarray], frames: int, context: int, config: SignalConfig) -> Iterator[Window]:
    """Yield the windows of a song, each `frames` frames after the one before; the last are filled with silence.

    A window is yielded before more is asked for than it holds.
    """
    hop, waiting = config.hop_length, SampleQueue()
    size, step = (frames + 2 * context - 1) * hop + config.window_length, frames * hop
    lead, first = (context + EDGE_HOPS) * hop, 0
    length = -lead
    for block_NC in blocks_NC:
        channels = block_NC.shape[1]
        for samples_NC in (block_NC,) if waiting.count else (np.zeros((lead, channels), np.float32), block_NC):
            waiting.put(samples_NC)
            length += len(samples_NC)
        while waiting.count >= size:
            samples_CN = np.ascontiguousarray(waiting.take(size, size - step).T)
            yield Window(samples_CN, first, first + frames + context, (first + frames - EDGE_HOPS) * hop)
            first += frames
    if length <= 0:
        return
    full = full_frame_count(length, config)
    for start in range(first, full, frames):
        waiting.put(np.zeros((max(size - waiting.count, 0), channels), np.float32))
        samples_CN = np.ascontiguousarray(waiting.take(size, size - step).T)
        end = (start + frames - EDGE_HOPS) * hop if start + frames < full else length
        yield Window(samples_CN, start, full, end)


def join_windows(parts: Iterable[tuple[Window, np.ndarray]], config: SignalConfig) -> Iterator[np.ndarray]:
    """Yield the song's samples (N, channels) of the overlap-added frames (channels, N) of each window's block.

    The parts are written to.
    """
    hop, done = config.hop_length, 0
    before_CN, squares_before_N = np.zeros((1, 0), np.float32), np.zeros(0)
    for window, part_CN in parts:
        frames = (part_CN.shape[1] - config.window_length) // hop + 1
        squares_N = np.zeros(part_CN.shape[1])
        of_song_N = overlapped_squares(min(frames, window.song_frames - window.first_frame), config)
        squares_N[: len(of_song_N)] = of_song_N
        part_CN[:, : before_CN.shape[1]] += before_CN
        squares_N[: len(squares_before_N)] += squares_before_N
        begin, end = (window.first_frame - EDGE_HOPS) * hop, max(window.end, done)
        known = slice(done - begin, end - begin)
        yield np.ascontiguousarray((part_CN[:, known] / squares_N[known].astype(np.float32)).T)
        done, before_CN, squares_before_N = end, part_CN[:, frames * hop :], squares_N[frames * hop :]
