"""The depthwise-separable block, written for speed: the parts from which whole blocks are put together.

What makes it fast on a CPU, where memory is the limit:

- The work goes over a few frames at a time (`FrameChunks`), so that what one operation writes the next one finds in the
  cache, and little memory is taken anew in each step.
- BatchNorm's normalisation before the pointwise convolution is folded into that convolution's kernel.
- The gradient of the whole block is written out. It keeps the block's input and its output before the last
  normalisation, computes the rest again, and gets most of BatchNorm's sums from the products that it needs anyway.

Notation: u = depthwise convolution, a = LeakyReLU(u), p = pointwise convolution of a normalised, z = ReLU(p). The
normalisation of z is left to the next block (see `Normalised`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.ops.dws.block import LEAKY_SLOPE, BlockMoments, BlockParameters, as_affine
from madsep_jax.ops.dws.chunks import Chunk, FrameChunks, chunk_moments, joined_moments, weighted_sum
from madsep_jax.ops.dws.depthwise_rows import kernel_gradient, tap_sum
from madsep_jax.ops.dws.lazy import AffineGradient, LazyArray, Normalised, Upsampled
from madsep_jax.ops.dws.margins import Margins
from madsep_jax.ops.shared_batch import shares, total

#: Numbers of a chunk, so that two arrays of it fit into the second-level caches of two cores.
CHUNK_VALUES = 550_000

#: Frames at a time, at most, in the gradient of the depthwise kernel, and so in all loops.
PRODUCT_ROWS = 15


def cut(batch: int, frames: int, frame_values: int) -> FrameChunks:
    """Return the chunks for inputs whose frames have so many values, all channels counted."""
    return FrameChunks.of_size(batch, frames, frame_values, CHUNK_VALUES, PRODUCT_ROWS)


class BlockInput(NamedTuple):
    """A block's input: a buffer, normalised by a factor and an offset for each sequence and channel when it is read.

    So the normalised array, and its copy with zeros around, need not be written.
    """

    buffer: jax.Array
    """With margins."""
    margins: Margins
    chunks: FrameChunks
    factor_BC: jax.Array | None = None
    """None where the buffer holds the input as it is."""
    offset_BC: jax.Array | None = None
    first_item: jax.Array | int = 0
    """Where the first of the B sequences lies in the buffer, which may hold more."""

    @classmethod
    def of(
        cls,
        parameters: BlockParameters,
        x_BTWC: LazyArray,
        dilation: int = 1,
        buffer: jax.Array | None = None,
    ) -> "BlockInput":
        """Return the input of a block in a buffer of its own: the one given, which holds it already, or a new one."""
        batch, frames, width, channels = x_BTWC.shape
        chunks = cut(batch, frames, width * channels)
        margins = Margins(len(parameters.depthwise_kernel_KKC), dilation)
        z_BTWC, *affine = x_BTWC[:3] if isinstance(x_BTWC, Normalised) else (x_BTWC,)
        if buffer is None:
            buffer = z_BTWC.fill(margins, chunks) if isinstance(z_BTWC, Upsampled) else margins.fill(z_BTWC, chunks)
        return cls(buffer, margins, chunks, *affine)

    @property
    def width(self) -> int:
        """Frequencies of the input."""
        return self.buffer.shape[1] - 2 * self.margins.bins

    def read_around(self, chunk: Chunk) -> jax.Array:
        """Return the input of a chunk with its surroundings, zeros outside the sequence and the spectrum.

        The barrier keeps the compiler from computing it again for each of the kernel's elements.
        """
        x_RWC = self.margins.read_around(self.buffer, self.chunks, chunk, self.first_item + chunk.sequence)
        if self.factor_BC is not None and self.offset_BC is not None:
            x_RWC = x_RWC * self.factor_BC[chunk.sequence] + self.offset_BC[chunk.sequence]
        x_RWC = jnp.where(self.margins.is_inside(self.chunks, chunk, self.width), x_RWC, 0)
        return jax.lax.optimization_barrier(x_RWC)

    def gradient(self, grad_x_RWC: jax.Array, chunk: Chunk) -> tuple[jax.Array, Any]:
        """Return the gradient of a chunk of the buffer from that of the input, and its part of `AffineGradient`."""
        if self.factor_BC is None:
            return grad_x_RWC, None
        source_RWC = self.margins.read(self.buffer, self.chunks, chunk, self.first_item + chunk.sequence)
        return grad_x_RWC * self.factor_BC[chunk.sequence], AffineGradient.of_chunk(source_RWC, grad_x_RWC)


def activate(parameters: BlockParameters, x_RWC: jax.Array, dilation: int, **how: Any) -> jax.Array:
    """Return a of a chunk from its input with its surroundings; `how` as of `tap_sum`."""
    kernel_KKC, bias_C = parameters.depthwise_kernel_KKC, parameters.depthwise_bias_C
    u_RWC = tap_sum(x_RWC, kernel_KKC, bias_C, dilation, **how)
    return jnp.maximum(u_RWC, LEAKY_SLOPE * u_RWC)


def folded_pointwise(
    parameters: BlockParameters, inner_mean_C: jax.Array, inner_var_C: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return kernel and bias that map a to p."""
    factor_C, offset_C = as_affine(inner_mean_C, inner_var_C, parameters.inner_scale_C, parameters.inner_bias_C)
    kernel_CC = factor_C[:, None] * parameters.pointwise_kernel_CC
    return kernel_CC, weighted_sum(offset_C, parameters.pointwise_kernel_CC) + parameters.pointwise_bias_C


def mix(a_RWC: jax.Array, kernel_CC: jax.Array, bias_C: jax.Array) -> jax.Array:
    """Return z of a chunk."""
    rows, width, channels = a_RWC.shape
    p_NC = a_RWC.reshape(-1, channels) @ kernel_CC + bias_C
    return jnp.maximum(p_NC, 0).reshape(rows, width, -1)


def run_forward(
    parameters: BlockParameters,
    block_input: BlockInput,
    room_BTWC: jax.Array,
    output: Any,
    put: Callable[[Any, jax.Array, Chunk], Any],
) -> tuple[Any, jax.Array, BlockMoments]:
    """Run a block in training: two passes, since the moments of a are needed before z.

    The room is a filled buffer, which is written over; `put`, (output, z_RWC, chunk) to output, writes z. Returns the
    output, the room again, and the moments of a and z.
    """
    chunks, dilation = block_input.chunks, block_input.margins.dilation
    count_K = chunks.counts_K(block_input.width)

    def first_pass(a_BTWC: jax.Array, chunk: Chunk) -> tuple[jax.Array, tuple]:
        a_RWC = chunks.without_fill(activate(parameters, block_input.read_around(chunk), dilation), chunk)
        return chunks.write(a_BTWC, a_RWC, chunk), chunk_moments(a_RWC, chunks, chunk, count_K)

    a_BTWC, moments_K = chunks.scan(first_pass, room_BTWC)
    inner = joined_moments(moments_K, count_K)
    kernel_CC, bias_C = folded_pointwise(parameters, *inner)

    def second_pass(output: Any, chunk: Chunk) -> tuple[Any, tuple]:
        z_RWC = chunks.without_fill(mix(chunks.read(a_BTWC, chunk), kernel_CC, bias_C), chunk)
        return put(output, z_RWC, chunk), chunk_moments(z_RWC, chunks, chunk, count_K)

    output, moments_K = chunks.scan(second_pass, output)
    return output, a_BTWC, BlockMoments(*inner, *joined_moments(moments_K, count_K))


class Room(NamedTuple):
    """Buffers that `run_backward` writes over."""

    grad: jax.Array
    """With margins. Takes the gradient of p, then of u, then of the block's input.

    That of u has its frames in their place, the other two begin where the first margin is (*early*). So a chunk can be
    written over by what follows from it and from its surroundings: those still to be read lie elsewhere.
    """
    a_BTWC: jax.Array | None = None
    """Filled. Keeps a from the first pass to the second; None to compute it again."""


def run_backward(
    parameters: BlockParameters,
    moments: BlockMoments,
    block_input: BlockInput,
    room: Room,
    grad_p: Callable[[Callable[[], jax.Array], jax.Array, Chunk], jax.Array],
) -> tuple[BlockParameters, Room, AffineGradient | None]:
    """Return the gradients of a block's parameters (the outer BatchNorm's are 0 here) and of its input.

    The moments are those that `run_forward` returned. `grad_p` returns the gradient of a chunk's p, given a function
    that computes its z again, what the room held there, and the chunk.

    Returns:
        The gradients of the parameters; the room with the gradient of the input's buffer, early; and that of the
        input's factor and offset, None where it has none.
    """
    chunks, margins, width = block_input.chunks, block_input.margins, block_input.width
    channels, dtype = len(parameters.depthwise_bias_C), block_input.buffer.dtype
    kernel_CC, bias_C = folded_pointwise(parameters, moments.inner_mean_C, moments.inner_var_C)

    def products(carry: tuple[Room, jax.Array, jax.Array], chunk: Chunk) -> tuple[tuple, None]:
        room, product_CC, sum_C = carry
        a_RWC = activate(parameters, block_input.read_around(chunk), margins.dilation)
        held_RWC = margins.read(room.grad, chunks, chunk, chunk.sequence, early=True)
        grad_p_RWC = chunks.without_fill(grad_p(lambda: mix(a_RWC, kernel_CC, bias_C), held_RWC, chunk), chunk)
        product_CC = product_CC + a_RWC.reshape(-1, channels).T @ grad_p_RWC.reshape(-1, channels)
        grad = margins.write(room.grad, grad_p_RWC, chunks, chunk, chunk.sequence, early=True)
        room = Room(grad, None if room.a_BTWC is None else chunks.write(room.a_BTWC, a_RWC, chunk))
        return (room, product_CC, sum_C + jnp.sum(grad_p_RWC, (0, 1))), None

    start = (room, jnp.zeros((channels, channels), dtype), jnp.zeros(channels, dtype))
    (room, product_CC, sum_C), _ = chunks.scan(products, start)
    pointwise = pointwise_gradients(parameters, moments, product_CC, sum_C, chunks.batch * chunks.frames * width)

    def activation_gradients(carry: tuple[jax.Array, jax.Array], chunk: Chunk) -> tuple[tuple, None]:
        grad, sum_C = carry
        if room.a_BTWC is None:
            a_RWC = activate(parameters, block_input.read_around(chunk), margins.dilation)
        else:
            a_RWC = chunks.read(room.a_BTWC, chunk)
        grad_a_RWC = mix_transposed(margins.read(grad, chunks, chunk, chunk.sequence, early=True), kernel_CC)
        grad_a_RWC = grad_a_RWC - pointwise.constant_C - pointwise.slope_C * a_RWC
        grad_u_RWC = chunks.without_fill(jnp.where(a_RWC >= 0, grad_a_RWC, LEAKY_SLOPE * grad_a_RWC), chunk)
        grad = margins.write(grad, grad_u_RWC, chunks, chunk, chunk.sequence)
        return (grad, sum_C + jnp.sum(grad_u_RWC, (0, 1))), None

    before = (room.grad, jnp.zeros(channels, dtype))
    (grad_u, grad_depthwise_bias_C), _ = chunks.scan(activation_gradients, before, reverse=True)
    coarse = chunks.coarse(PRODUCT_ROWS)
    coarse_input = block_input._replace(chunks=coarse)

    def input_and_gradient(chunk: Chunk) -> tuple[jax.Array, jax.Array]:
        grad_u_RWC = margins.read(grad_u, coarse, chunk, chunk.sequence)
        return coarse_input.read_around(chunk), coarse.without_fill(grad_u_RWC, chunk)

    kernel_KKC = parameters.depthwise_kernel_KKC
    grad_KKC = kernel_gradient(kernel_KKC, input_and_gradient, coarse, width, margins.dilation)
    # The next loop writes over what this one reads. Where nothing makes it wait, XLA copies the buffer for it.
    after_C = 0 * grad_KKC[0, 0]

    def inputs(grad: jax.Array, chunk: Chunk) -> tuple[jax.Array, Any]:
        around_RWC = BlockInput(grad, margins, chunks).read_around(chunk)
        grad_x_RWC = tap_sum(around_RWC, kernel_KKC[::-1, ::-1], after_C, margins.dilation)
        grad_x_RWC, affine = block_input.gradient(chunks.without_fill(grad_x_RWC, chunk), chunk)
        return margins.write(grad, grad_x_RWC, chunks, chunk, chunk.sequence, early=True), affine

    grad, affine_KC = chunks.scan(inputs, grad_u)
    gradients = BlockParameters(grad_KKC, grad_depthwise_bias_C, *pointwise.gradients, *(jnp.zeros_like(sum_C),) * 2)
    affine = None if affine_KC is None else AffineGradient.joined(affine_KC, chunks.batch)
    return gradients, room._replace(grad=grad), affine


class PointwiseGradients(NamedTuple):
    """What follows from aᵀ·∂p and the sum of ∂p."""

    gradients: tuple[jax.Array, jax.Array, jax.Array, jax.Array]
    """Of the inner BatchNorm's scale and bias, the pointwise kernel and bias."""
    constant_C: jax.Array
    slope_C: jax.Array
    """∂a = ∂p · folded kernelᵀ - constant - slope · a: what BatchNorm's own moments take away."""


def pointwise_gradients(
    parameters: BlockParameters, moments: BlockMoments, product_CC: jax.Array, sum_C: jax.Array, count: int
) -> PointwiseGradients:
    """Differentiate p = (scale · â + bias) · kernel + pointwise bias, where â = (a - mean) / deviation.

    Product, sum and count are those of this device's sequences, and so are the parameters' gradients.
    """
    kernel_CC = parameters.pointwise_kernel_CC
    inverse_C, _ = as_affine(moments.inner_mean_C, moments.inner_var_C, jnp.ones_like(sum_C), sum_C)
    normal_product_CC = inverse_C[:, None] * (product_CC - jnp.outer(moments.inner_mean_C, sum_C))  # âᵀ · ∂p
    grad_scale_C = jnp.sum(kernel_CC * normal_product_CC, 1)
    grad_shift_C = weighted_sum(sum_C, kernel_CC.T)
    grad_kernel_CC = parameters.inner_scale_C[:, None] * normal_product_CC + jnp.outer(parameters.inner_bias_C, sum_C)
    count *= shares()  # mean and deviation are those of all devices' sequences, and so is what they add to ∂a
    whole_scale_C, whole_shift_C = total(grad_scale_C, grad_shift_C)
    slope_C = inverse_C**2 * parameters.inner_scale_C * whole_scale_C / count
    constant_C = inverse_C * parameters.inner_scale_C * whole_shift_C / count - slope_C * moments.inner_mean_C
    return PointwiseGradients((grad_scale_C, grad_shift_C, grad_kernel_CC, sum_C), constant_C, slope_C)


def mix_transposed(grad_p_RWC: jax.Array, kernel_CC: jax.Array) -> jax.Array:
    """Return ∂p · kernelᵀ of a chunk."""
    rows, width, channels = grad_p_RWC.shape
    return (grad_p_RWC.reshape(-1, channels) @ kernel_CC.T).reshape(rows, width, channels)
