"""The upsampling between encoder and decoder of the DWS masker, and how it is written straight into a block's buffer.

A transposed convolution over frequency with kernel and stride 2: each input position alone makes two outputs, so that
it is one matrix product. Its padding of 2 cuts two outputs at each end, those of the first and the last position.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.frame_chunks import Chunk, FrameChunks
from madsep_jax.ops.margins import Margins
from madsep_jax.ops.normalised import AffineGradient, Normalised
from madsep_jax.ops.room import rooms


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
