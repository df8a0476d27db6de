"""The gradient of a depthwise kernel on accelerators: each array read once, not once for each of the kernel's elements.

XLA makes of the sums a kernel for every two elements. `read_once` is a Pallas kernel for NVIDIA's GPUs that takes all
of them in one pass; what it computes is defined by `one_by_one`, which runs where there is no such GPU.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from madsep_jax.ops.dws.lazy import Normalised
from madsep_jax.ops.precision import widened

#: Frequencies and channels that a block of threads multiplies at once; so many sums of each kernel element fit into
#: its registers.
_BINS, _CHANNELS = 8, 64


def kernel_gradient(x_BTWC: jax.Array | Normalised, grad_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """Return the gradient of a depthwise kernel, (side, side, C), from the input and the gradient of the output.

    An input of one channel has gone to all channels.
    """

    def on_gpu(x_BTWC: jax.Array | Normalised, grad_BTWC: jax.Array) -> jax.Array:
        return read_once(x_BTWC, grad_BTWC, side, dilation)

    def elsewhere(x_BTWC: jax.Array | Normalised, grad_BTWC: jax.Array) -> jax.Array:
        return one_by_one(x_BTWC, grad_BTWC, side, dilation)

    return jax.lax.platform_dependent(x_BTWC, grad_BTWC, cuda=on_gpu, default=elsewhere)


def one_by_one(x_BTWC: jax.Array | Normalised, grad_BTWC: jax.Array, side: int, dilation: int) -> jax.Array:
    """Sum the products of gradient and shifted input for one kernel element after the other."""
    wide_BTWC = widened(grad_BTWC)
    read = shifted(x_BTWC, side, dilation, slice(0, x_BTWC.shape[1]))
    return jnp.stack([jnp.sum(x * wide_BTWC, (0, 1, 2)) for _, x in read]).reshape(side, side, -1)


def shifted(
    x_BTWC: jax.Array | Normalised, side: int, dilation: int, frames: slice
) -> Iterator[tuple[tuple[int, int], jax.Array]]:
    """Yield each kernel element's place and what it reads for some frames, zeros outside the input."""
    width, half = x_BTWC.shape[2], side // 2
    wide_BTWC = widened(x_BTWC.array() if isinstance(x_BTWC, Normalised) else x_BTWC)
    padded = jnp.pad(wide_BTWC, ((0, 0), (half * dilation,) * 2, (half,) * 2, (0, 0)))
    for i in range(side):
        for j in range(side):
            yield (i, j), padded[:, frames.start + i * dilation : frames.stop + i * dilation, j : j + width]


def read_once(
    x_BTWC: jax.Array | Normalised, grad_BTWC: jax.Array, side: int, dilation: int, *, interpret: bool = False
) -> jax.Array:
    """Compute `one_by_one` in one pass: each program sums over a frame's frequencies, for some of the channels."""
    z_BTWC, factor_BC, offset_BC = Normalised.of(x_BTWC)[:3]
    batch, frames, width, channels = grad_BTWC.shape
    half, channels_at_once = side // 2, min(_CHANNELS, pl.next_power_of_2(channels))
    dtype = jnp.promote_types(grad_BTWC.dtype, jnp.float32)

    def program(z_BTWC, factor_BC, offset_BC, grad_BTWC, sums_NKC) -> None:  # type: ignore[no-untyped-def]
        sequence, frame = pl.program_id(0), pl.program_id(1)
        channel_C = pl.program_id(2) * channels_at_once + jnp.arange(channels_at_once)
        is_channel_C = channel_C < channels
        source_C = channel_C if z_BTWC.shape[-1] > 1 else 0 * channel_C  # one channel goes to all

        def load(ref, *place, mask):  # type: ignore[no-untyped-def]
            """Load what lies inside, as wide as the sums are, and 0 elsewhere."""
            inside = tuple(jnp.clip(at, 0, size - 1) for at, size in zip(place, ref.shape, strict=True))
            return triton.load(ref.at[inside], mask=mask, other=0).astype(dtype)

        factor_C = load(factor_BC, sequence, source_C, mask=is_channel_C)
        offset_C = load(offset_BC, sequence, source_C, mask=is_channel_C)

        def add_bins(number: jax.Array, sums_K: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            bin_W1 = (number * _BINS + jnp.arange(_BINS))[:, None]
            is_bin_WC = (bin_W1 < width) & is_channel_C[None]
            grad_WC = load(grad_BTWC, sequence, frame, bin_W1, channel_C[None], mask=is_bin_WC)

            def product_WC(i: int, j: int) -> jax.Array:
                of_frame, of_W1 = frame + (i - half) * dilation, bin_W1 + (j - half)
                is_inside = (of_frame >= 0) & (of_frame < frames) & (of_W1 >= 0) & (of_W1 < width)
                mask_WC = is_inside & is_channel_C[None]
                z_WC = load(z_BTWC, sequence, of_frame, of_W1, source_C[None], mask=mask_WC)
                return jnp.where(mask_WC, z_WC * factor_C[None] + offset_C[None], 0) * grad_WC

            return tuple(sum_WC + product_WC(*divmod(k, side)) for k, sum_WC in enumerate(sums_K))

        nothing_WC = jnp.zeros((_BINS, channels_at_once), dtype)
        sums_K = jax.lax.fori_loop(0, pl.cdiv(width, _BINS), add_bins, (nothing_WC,) * side**2)
        row = sequence * frames + frame
        for k, sum_WC in enumerate(sums_K):
            inside_C = jnp.clip(channel_C, 0, channels - 1)
            triton.store(sums_NKC.at[row, k, inside_C], jnp.sum(sum_WC, 0), mask=is_channel_C)

    sums_NKC = pl.pallas_call(
        program,
        out_shape=jax.ShapeDtypeStruct((batch * frames, side**2, channels), dtype),
        grid=(batch, frames, pl.cdiv(channels, channels_at_once)),
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
        cost_estimate=pl.CostEstimate(
            flops=4 * side**2 * grad_BTWC.size,
            bytes_accessed=sum(array.nbytes for array in (z_BTWC, grad_BTWC)),
            transcendentals=0,
        ),
        interpret=interpret,
    )(z_BTWC, factor_BC, offset_BC, grad_BTWC)
    return jnp.sum(sums_NKC, 0).reshape(side, side, channels)
