"""Buffers with margins: room for what a depthwise kernel reads outside a sequence and its spectrum.

With the margins in place, a chunk and its surroundings are one block of memory. What lies in them does not matter: they
are read as zeros.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.frame_chunks import Chunk, FrameChunks, dynamic_slice, dynamic_update_slice


class Margins(NamedTuple):
    """How far a depthwise kernel reaches."""

    side: int
    dilation: int = 1
    """Frames between its taps."""

    @property
    def frames(self) -> int:
        """Frames before and after a position."""
        return self.side // 2 * self.dilation

    @property
    def bins(self) -> int:
        """Frequencies below and above."""
        return self.side // 2

    def shape(self, items: int, chunks: FrameChunks, width: int, channels: int) -> tuple[int, ...]:
        """Return the shape of a buffer for so many sequences."""
        return items, chunks.filled_frames + 2 * self.frames, width + 2 * self.bins, channels

    def fill(self, x_BTWC: jax.Array, chunks: FrameChunks) -> jax.Array:
        """Return a buffer that holds an array."""
        after = self.frames + chunks.filled_frames - chunks.frames
        return jnp.pad(x_BTWC, ((0, 0), (self.frames, after), (self.bins, self.bins), (0, 0)))

    def middle(self, buffer: jax.Array, chunks: FrameChunks) -> jax.Array:
        """Return what a buffer holds, without margins and fill."""
        width = buffer.shape[2] - 2 * self.bins
        return buffer[:, self.frames : self.frames + chunks.frames, self.bins : self.bins + width]

    def read_around(self, buffer: jax.Array, chunks: FrameChunks, chunk: Chunk, item: Any) -> jax.Array:
        """Return a chunk of an item with its surroundings."""
        shape = (1, chunks.rows + 2 * self.frames, *buffer.shape[2:])
        return dynamic_slice(buffer, (item, chunk.first, 0, 0), shape)[0]

    def read(self, buffer: jax.Array, chunks: FrameChunks, chunk: Chunk, item: Any) -> jax.Array:
        """Return a chunk of an item, (R, W, C)."""
        _, _, width, channels = buffer.shape
        start = (item, chunk.first + self.frames, self.bins, 0)
        return dynamic_slice(buffer, start, (1, chunks.rows, width - 2 * self.bins, channels))[0]

    def write(self, buffer: jax.Array, x_RWC: jax.Array, chunk: Chunk, item: Any) -> jax.Array:
        """Replace a chunk of an item."""
        start = (item, chunk.first + self.frames, self.bins, 0)
        return dynamic_update_slice(buffer, x_RWC[None], start)

    def is_inside(self, chunks: FrameChunks, chunk: Chunk, width: int) -> jax.Array:
        """Tell which positions of what `read_around` returns are no margins; (R + …, W + …, 1)."""
        bin_W1 = jnp.arange(width + 2 * self.bins)[:, None] - self.bins
        frames_R11 = chunks.is_inside(chunk.first - self.frames, chunks.rows + 2 * self.frames)
        return frames_R11 & (bin_W1 >= 0) & (bin_W1 < width)
