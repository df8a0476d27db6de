"""What the fast blocks give to each other: an array, or what it is made from when it is read.

One kind is normalised when it is read; the other is the upsampling between encoder and decoder of the DWS masker, which
is written straight into a block's buffer. A transposed convolution over frequency with kernel and stride 2 makes two
outputs of each input position alone, so that it is one matrix product. Its padding of 2 cuts two outputs at each end,
those of the first and the last position.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.chunks import Chunk, FrameChunks, position_sums
from madsep_jax.ops.dws.margins import Margins, rooms


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
        normalised_BTWC = self.z_BTWC * self.factor_BC[:, None, None] + self.offset_BC[:, None, None]
        return normalised_BTWC.astype(self.dtype)

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


class Upsampled(NamedTuple):
    """(B, T, W, C) upsampled to (B, T, 2W - 4, C): what it is made from, for the block that reads it.

    The plain form of that block writes the array (`array`), the fast form its own buffer (`fill`), a few frames at a
    time. The array would be the largest of the masker but one, and be written twice.
    """

    x_BTWC: jax.Array | Normalised
    kernel_C2C: jax.Array
    bias_C: jax.Array

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array."""
        batch, frames, width, channels = self.x_BTWC.shape
        return batch, frames, 2 * width - 4, channels

    @property
    def dtype(self) -> jnp.dtype:
        """Of the array."""
        return self.x_BTWC.dtype

    def array(self) -> jax.Array:
        """Return the array."""
        x_BTWC = self.x_BTWC.array() if isinstance(self.x_BTWC, Normalised) else self.x_BTWC
        return self._upsample(x_BTWC.reshape(-1, *x_BTWC.shape[2:])).reshape(self.shape)

    def fill(self, margins: Margins, chunks: FrameChunks) -> jax.Array:
        """Return a buffer that holds the array, as `Margins.fill` does."""
        source = Normalised.of(self.x_BTWC).filled(chunks)
        batch, _, width, channels = self.shape

        def run(buffer: jax.Array, chunk: Chunk) -> tuple[jax.Array, None]:
            up_RWC = self._upsample(source.read(chunks, chunk))
            return margins.write(buffer, up_RWC, chunks, chunk, chunk.sequence), None

        return chunks.scan(run, *rooms(source.z_BTWC, margins.shape(batch, chunks, width, channels)))[0]

    def gradient(self, grad: jax.Array, margins: Margins, chunks: FrameChunks) -> "Upsampled":
        """Return the gradients of input, kernel and bias from the array's, which lies early in a buffer."""
        source = Normalised.of(self.x_BTWC).filled(chunks)
        channels = len(self.bias_C)
        kernel_CP = self.kernel_C2C.reshape(channels, -1)

        def run(carry: tuple[jax.Array, jax.Array, jax.Array], chunk: Chunk) -> tuple[tuple, AffineGradient]:
            grad_z_BTWC, grad_kernel_CP, sum_P = carry
            grad_RWC = margins.read(grad, chunks, chunk, chunk.sequence, early=True)
            grad_NP = chunks.without_fill(grad_RWC, chunk).reshape(-1, 2 * channels)
            x_RWC = source.read(chunks, chunk)
            grad_x_RWC = (grad_NP @ kernel_CP.T).reshape(len(x_RWC), -1, channels)
            grad_x_RWC = jnp.pad(grad_x_RWC, ((0, 0), (1, 1), (0, 0)))
            grad_z_RWC, affine = source.gradient(grad_x_RWC, chunks, chunk)
            grad_z_BTWC = chunks.write(grad_z_BTWC, grad_z_RWC, chunk)
            grad_kernel_CP = grad_kernel_CP + x_RWC[:, 1:-1].reshape(-1, channels).T @ grad_NP
            return (grad_z_BTWC, grad_kernel_CP, sum_P + jnp.sum(grad_NP, 0)), affine

        start = (*rooms(grad, source.shape), jnp.zeros_like(kernel_CP), jnp.zeros_like(kernel_CP[0]))
        (grad_z_BTWC, grad_kernel_CP, sum_P), affine_KC = chunks.scan(run, start)
        grad_z_BTWC = grad_z_BTWC[:, : chunks.frames]
        is_array = isinstance(self.x_BTWC, jax.Array)
        affine = AffineGradient.joined(affine_KC, chunks.batch)
        grad_x = grad_z_BTWC if is_array else Normalised(grad_z_BTWC, *affine)
        return Upsampled(grad_x, grad_kernel_CP.reshape(self.kernel_C2C.shape), sum_P.reshape(2, -1).sum(0))

    def _upsample(self, x_RWC: jax.Array) -> jax.Array:
        rows, _, channels = x_RWC.shape
        up_NP = x_RWC[:, 1:-1].reshape(-1, channels) @ self.kernel_C2C.reshape(channels, -1)
        return up_NP.reshape(rows, -1, channels) + self.bias_C


LazyArray = jax.Array | Normalised | Upsampled


def as_array(x_BTWC: LazyArray) -> jax.Array:
    """Return a block's input, or what it gives to the next, as an array."""
    return x_BTWC.array() if isinstance(x_BTWC, Normalised | Upsampled) else x_BTWC
