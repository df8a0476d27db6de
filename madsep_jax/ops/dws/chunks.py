"""Loops over a few frames at a time, so that what is computed from them stays in the cache.

A chunk is R frames of one sequence; K of them make up a batch of B sequences of T frames. Where R does not divide T,
the last chunk of each sequence reaches beyond its end: frames from T on are fill, masked where they would count.
Moments of chunks are put together without cancellation (Chan, Golub, LeVeque 1983).
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.ops.shared_batch import whole_moments

#: Of starts that are known not to be negative: by itself, JAX adds several operations that ask whether they are.
dynamic_slice = functools.partial(jax.lax.dynamic_slice, allow_negative_indices=False)
dynamic_update_slice = functools.partial(jax.lax.dynamic_update_slice, allow_negative_indices=False)


class Chunk(NamedTuple):
    """Which chunk a loop is at."""

    number: jax.Array
    """0 … K - 1."""
    sequence: jax.Array
    first: jax.Array
    """Its first frame."""


@dataclass(frozen=True)
class FrameChunks:
    """How B sequences of T frames are cut into K chunks of R frames."""

    batch: int
    frames: int
    """T."""
    rows: int
    """R."""
    filled_frames: int
    """T, and the fill after it: the frames of a buffer, at least those of all chunks."""

    @classmethod
    def of_size(cls, batch: int, frames: int, frame_values: int, chunk_values: int, multiple: int) -> "FrameChunks":
        """Cut into chunks of about `chunk_values` numbers, for frames of `frame_values`.

        Buffers get room for chunks of up to `multiple` frames as well, see `coarse`.
        """
        most = min(max(chunk_values // frame_values, 1), multiple)
        rows = math.ceil(frames / math.ceil(frames / most))
        chunks = cls(batch, frames, rows, frames)
        coarse = chunks.coarse(multiple).rows
        return dataclasses.replace(chunks, filled_frames=math.ceil(frames / coarse) * coarse)

    def coarse(self, multiple: int) -> "FrameChunks":
        """Return chunks of up to `multiple` frames, each of several of these, in the same buffers."""
        together = max(multiple // self.rows, 1)
        together = math.ceil(self.per_sequence / math.ceil(self.per_sequence / together))
        return dataclasses.replace(self, rows=self.rows * together)

    @property
    def per_sequence(self) -> int:
        """Chunks of each sequence."""
        return math.ceil(self.frames / self.rows)

    @property
    def has_fill(self) -> bool:
        """Whether R does not divide T."""
        return self.frames % self.rows != 0

    def counts_K(self, frame_values: int) -> jax.Array:
        """Return how many positions of each chunk are no fill, for frames of so many."""
        per_chunk = [min(self.rows, self.frames - first) for first in range(0, self.frames, self.rows)]
        return jnp.array(per_chunk * self.batch) * frame_values

    def filled(self, x_BTWC: jax.Array) -> jax.Array:
        """Add the fill to (B, T, …)."""
        fill = self.filled_frames - self.frames
        return jnp.pad(x_BTWC, ((0, 0), (0, fill)) + ((0, 0),) * (x_BTWC.ndim - 2)) if fill else x_BTWC

    def is_inside(self, first: jax.Array, rows: int) -> jax.Array:
        """Tell which of `rows` frames from `first` on belong to the sequence; (rows, 1, 1)."""
        number_R11 = (first + np.arange(rows))[:, None, None]
        return (number_R11 >= 0) & (number_R11 < self.frames)

    def without_fill(self, x_RWC: jax.Array, chunk: Chunk) -> jax.Array:
        """Set the fill to zero."""
        return jnp.where(self.is_inside(chunk.first, self.rows), x_RWC, 0) if self.has_fill else x_RWC

    def read(self, buffer_BTWC: jax.Array, chunk: Chunk) -> jax.Array:
        """Return a chunk of a filled array."""
        start = (chunk.sequence, chunk.first) + (0,) * (buffer_BTWC.ndim - 2)
        return dynamic_slice(buffer_BTWC, start, (1, self.rows, *buffer_BTWC.shape[2:]))[0]

    def write(self, buffer_BTWC: jax.Array, x_RWC: jax.Array, chunk: Chunk) -> jax.Array:
        """Replace a chunk of a filled array."""
        start = (chunk.sequence, chunk.first) + (0,) * (buffer_BTWC.ndim - 2)
        return dynamic_update_slice(buffer_BTWC, x_RWC[None], start)

    def scan(
        self, body: Callable[[Any, Chunk], tuple[Any, Any]], start: Any, *, reverse: bool = False
    ) -> tuple[Any, Any]:
        """Run body(carry, chunk) over all chunks, the last one first if `reverse`."""

        def step(carry: Any, number: Any) -> tuple[Any, Any]:
            sequence = jax.lax.div(number, np.array(self.per_sequence, number.dtype))
            return body(carry, Chunk(number, sequence, (number - sequence * self.per_sequence) * self.rows))

        return jax.lax.scan(step, start, np.arange(self.batch * self.per_sequence), reverse=reverse)


def chunk_moments(
    x_RWC: jax.Array, chunks: FrameChunks, chunk: Chunk, count_K: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return a chunk's mean, and its sum of squared deviations from it, of each channel; x is 0 in the fill."""
    mean_C = jnp.sum(x_RWC, (0, 1)) / count_K[chunk.number].astype(x_RWC.dtype)
    return mean_C, position_sums(jnp.square(chunks.without_fill(x_RWC - mean_C, chunk)))


def joined_moments(moments_KC: tuple[jax.Array, jax.Array], count_K: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance of all chunks together, those of all devices that share the batch."""
    mean_KC, squares_KC = moments_KC
    count = jnp.sum(count_K).astype(mean_KC.dtype)
    weight_K = count_K.astype(mean_KC.dtype) / count
    mean_C = weighted_sum(weight_K, mean_KC)
    var_C = weighted_sum(weight_K, squares_KC / count_K[:, None] + jnp.square(mean_KC - mean_C))
    return whole_moments(mean_C, var_C)


def weighted_sum(weight_N: jax.Array, x_NC: jax.Array) -> jax.Array:
    """Return weight_N @ x_NC, (C,)."""
    return (jnp.stack([weight_N, weight_N]) @ x_NC)[0]


def position_sums(x_RWC: jax.Array) -> jax.Array:
    """Return the sums over frames and frequencies, (C,).

    It is for what is computed to be summed, as squares are. For an array that is written to a buffer as well, take
    `jnp.sum`: this product keeps XLA from writing it in place.
    """
    x_NC = x_RWC.reshape(-1, x_RWC.shape[-1])
    return weighted_sum(jnp.ones(len(x_NC), x_NC.dtype), x_NC)
