"""Buffers with margins: room for what a depthwise kernel reads outside a sequence and its spectrum.

With the margins in place, a chunk and its surroundings are one block of memory. What lies in them does not matter: they
are read as zeros. So sequences lie one right after the other, and what is outside one of them is inside the next; there
are margins before the first and after the last, and at both ends of the spectrum.

XLA gives equal constants one buffer and makes it early. A buffer of zeros that a loop of the gradient writes over would
so be made before the forward pass, lie there until then, and be copied for each loop that writes over it. The buffers
here are not constant: each is filled with a number that is computed just before it is wanted. Which does not matter.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.ops.dws.chunks import Chunk, FrameChunks, dynamic_slice, dynamic_update_slice


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

    def shape(self, items: int, chunks: FrameChunks, width: int, channels: int) -> tuple[int, int, int]:
        """Return the shape of a buffer for so many sequences."""
        return items * chunks.filled_frames + 2 * self.frames, width + 2 * self.bins, channels

    def fill(self, x_BTWC: jax.Array, chunks: FrameChunks) -> jax.Array:
        """Return a buffer that holds an array."""
        around = ((self.frames, self.frames), (self.bins, self.bins), (0, 0))
        return jnp.pad(chunks.filled(x_BTWC).reshape(-1, *x_BTWC.shape[2:]), around)

    def place(self, buffer: jax.Array, x_BTWC: jax.Array, chunks: FrameChunks, *, early: bool = False) -> jax.Array:
        """Replace the first sequences of a buffer by those of an array; `early` as in `read`."""
        x = chunks.filled(x_BTWC).reshape(-1, *x_BTWC.shape[2:])
        return dynamic_update_slice(buffer, x, (0 if early else self.frames, self.bins, 0))

    def middle(self, buffer: jax.Array, chunks: FrameChunks, *, first_item: int = 0, early: bool = False) -> jax.Array:
        """Return B sequences of a buffer, without margins and fill; `early` as in `read`."""
        first = self._row(chunks, first_item, 0, early)
        width, channels = buffer.shape[1] - 2 * self.bins, buffer.shape[2]
        rows = buffer[first : first + chunks.batch * chunks.filled_frames, self.bins : self.bins + width]
        return rows.reshape(chunks.batch, chunks.filled_frames, width, channels)[:, : chunks.frames]

    def read_around(self, buffer: jax.Array, chunks: FrameChunks, chunk: Chunk, item: Any) -> jax.Array:
        """Return a chunk of an item with its surroundings."""
        shape = (chunks.rows + 2 * self.frames, *buffer.shape[1:])
        return dynamic_slice(buffer, (self.first_around(chunks, chunk, item), 0, 0), shape)

    def first_around(self, chunks: FrameChunks, chunk: Chunk, item: Any) -> Any:
        """Return where in a buffer the surroundings of a chunk of an item begin."""
        return self._row(chunks, item, chunk.first, early=True)

    def read(
        self, buffer: jax.Array, chunks: FrameChunks, chunk: Chunk, item: Any, *, early: bool = False
    ) -> jax.Array:
        """Return a chunk of an item, which is a sequence, (R, W, C).

        `early`: the buffer's frames do not begin after the first margin, but in its place.
        """
        start = (self._row(chunks, item, chunk.first, early), self.bins, 0)
        return dynamic_slice(buffer, start, (chunks.rows, buffer.shape[1] - 2 * self.bins, buffer.shape[2]))

    def write(
        self, buffer: jax.Array, x_RWC: jax.Array, chunks: FrameChunks, chunk: Chunk, item: Any, *, early: bool = False
    ) -> jax.Array:
        """Replace a chunk of an item; as in `read`."""
        return dynamic_update_slice(buffer, x_RWC, (self._row(chunks, item, chunk.first, early), self.bins, 0))

    def is_inside(self, chunks: FrameChunks, chunk: Chunk, width: int) -> jax.Array:
        """Tell which positions of what `read_around` returns are no margins; (R + …, W + …, 1)."""
        bin_W1 = np.arange(width + 2 * self.bins)[:, None] - self.bins
        frames_R11 = chunks.is_inside(chunk.first - self.frames, chunks.rows + 2 * self.frames)
        return frames_R11 & ((bin_W1 >= 0) & (bin_W1 < width))

    def _row(self, chunks: FrameChunks, item: Any, frame: Any, early: bool) -> Any:
        return item * chunks.filled_frames + frame + (0 if early else self.frames)


def rooms(after: jax.Array, *shapes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Return a buffer of each shape, with anything in it; at most as many as the array's last axis is long.

    The array `after` is computed before the buffers are wanted; they have its type.
    """
    place = tuple(size // 2 for size in after.shape[:-1])  # an edge may be a known margin
    return tuple(jnp.broadcast_to(after[(*place, number)], shape) for number, shape in enumerate(shapes))
