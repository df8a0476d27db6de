"""What the fast blocks give to each other: an array that is normalised when it is read."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.frame_chunks import Chunk, FrameChunks
from madsep_jax.ops.margins import Margins
from madsep_jax.ops.weighted_sum import position_sums


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["buffer"], meta_fields=["margins", "filled_frames", "first_item"]
)
@dataclass(frozen=True)
class Held:
    """Where in a larger buffer an array lies as well. It is read there, so that no other copy is kept."""

    buffer: jax.Array
    margins: Margins
    filled_frames: int
    """Of each of its sequences."""
    first_item: int


class Normalised(NamedTuple):
    """(B, T, W, C) as a block's last activation, and the BatchNorm and dropout that follow it, not applied yet.

    So the normalised array need not be written, nor kept for the gradient beside the other one.
    """

    z_BTWC: jax.Array
    factor_BC: jax.Array
    offset_BC: jax.Array
    held: Held | None = None
    """Not differentiated: the gradient is that of z alone."""

    @classmethod
    def of(cls, x_BTWC: "jax.Array | Normalised") -> "Normalised":
        """Return an array as one that is normalised by 1 and 0."""
        if isinstance(x_BTWC, Normalised):
            return x_BTWC
        unit_BC = jnp.ones((len(x_BTWC), x_BTWC.shape[-1]), x_BTWC.dtype)
        return cls(x_BTWC, unit_BC, jnp.zeros_like(unit_BC))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.z_BTWC.shape

    @property
    def dtype(self) -> jnp.dtype:
        """Of the array."""
        return self.z_BTWC.dtype

    def array(self) -> jax.Array:
        """Return the array."""
        return self.z_BTWC * self.factor_BC[:, None, None] + self.offset_BC[:, None, None]

    def filled(self, chunks: FrameChunks) -> "Normalised":
        """Add the fill."""
        return self._replace(z_BTWC=chunks.filled(self.z_BTWC))

    def read(self, chunks: FrameChunks, chunk: Chunk) -> jax.Array:
        """Return a chunk of the array, which has its fill."""
        return self._read_z(chunks, chunk) * self.factor_BC[chunk.sequence] + self.offset_BC[chunk.sequence]

    def gradient(self, grad_x_RWC: jax.Array, chunks: FrameChunks, chunk: Chunk) -> tuple[jax.Array, "AffineGradient"]:
        """Return the gradient of a chunk of z, and a part of that of factor and offset, from the array's."""
        grad_z_RWC = grad_x_RWC * self.factor_BC[chunk.sequence]
        return grad_z_RWC, AffineGradient.of_chunk(self._read_z(chunks, chunk), grad_x_RWC)

    def _read_z(self, chunks: FrameChunks, chunk: Chunk) -> jax.Array:
        held = self.held
        if held is None or held.filled_frames != chunks.filled_frames:
            return chunks.read(self.z_BTWC, chunk)
        return held.margins.read(held.buffer, chunks, chunk, held.first_item + chunk.sequence)


class AffineGradient(NamedTuple):
    """Gradient of a `Normalised`'s factor and offset, or what a chunk adds to it."""

    factor_BC: jax.Array
    offset_BC: jax.Array

    @classmethod
    def of_chunk(cls, z_RWC: jax.Array, grad_x_RWC: jax.Array) -> "AffineGradient":
        """Return a chunk's part, from its z and the gradient of the normalised array."""
        return cls(position_sums(grad_x_RWC * z_RWC), position_sums(grad_x_RWC))

    @classmethod
    def joined(cls, parts_KC: "AffineGradient", batch: int) -> "AffineGradient":
        """Add up the chunks of each sequence."""
        return cls(*(jnp.sum(part_KC.reshape(batch, -1, part_KC.shape[-1]), 1) for part_KC in parts_KC))
