"""The short-time Fourier transform pair of the Masker-Denoiser papers.

Frames start at every hop of the signal with 3 hops of zeros before and after it. A frame is windowed and laid
zero-phase into the FFT buffer: its second half (from its middle sample on) at the front, its first half at the back.
As published, a song of N samples has N // hop + 6 frames, the last of which, whose window would reach past the zeros,
are themselves zero. Synthesis is the least-squares one of Griffin & Lim (1984): the windowed frames overlap-added,
over the overlapped sum of the squared window. Analysis then synthesis returns the signal.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.config.signal import SignalConfig

#: Hops of zeros before and after a signal.
EDGE_HOPS = 3


def frame_count(samples: int, config: SignalConfig) -> int:
    """Frames that a signal of so many samples has, the empty last ones included."""
    return samples // config.hop_length + 2 * EDGE_HOPS


def full_frame_count(samples: int, config: SignalConfig) -> int:
    """Frames that are not empty: those whose window ends within the padded signal."""
    padded = samples + 2 * EDGE_HOPS * config.hop_length
    return (padded - config.window_length) // config.hop_length + 1


def analysis_window(config: SignalConfig) -> np.ndarray:
    """The symmetric Hamming window, divided by the square root of the FFT length; float64 of window_length samples."""
    return np.hamming(config.window_length) / np.sqrt(config.fft_length)


def stft(samples: jax.Array, config: SignalConfig | None = None) -> jax.Array:
    """Return the complex spectrum (..., frames, F) of real samples (..., N); it has `frame_count(N)` frames.

    Float64 is kept where JAX has it enabled. The settings are those of the papers where none are given.
    """
    config = config or SignalConfig()
    samples = jnp.asarray(samples)
    length = samples.shape[-1]
    edge = EDGE_HOPS * config.hop_length
    full = full_frame_count(length, config)
    padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(edge, edge)])
    frames = cut_frames(padded, full, config)
    spectrum = analyse_frames(frames, config)
    empty = frame_count(length, config) - full
    return jnp.pad(spectrum, [(0, 0)] * (samples.ndim - 1) + [(0, empty), (0, 0)])


def istft(spectrum: jax.Array, length: int, config: SignalConfig | None = None) -> jax.Array:
    """Return the signal (..., N) of a complex spectrum (..., frames, F), as `stft` returns it for N = `length` samples.

    The length is static under jit; the settings are the same as for the analysis.

    Raises:
        ValueError: where the number of frames is not that of a signal of `length` samples.
    """
    config = config or SignalConfig()
    expected = frame_count(length, config)
    if spectrum.shape[-2] != expected:
        raise ValueError(f"spectrum has {spectrum.shape[-2]} frames, a signal of {length} samples has {expected}")
    full = full_frame_count(length, config)
    frames = synthesise_frames(spectrum[..., :full, :], config)
    overlapped = overlap_add(frames, config.hop_length)
    squares = overlapped_squares(full, config)
    edge = EDGE_HOPS * config.hop_length
    inside = slice(edge, edge + length)
    return overlapped[..., inside] / jnp.asarray(squares[inside], overlapped.dtype)


def analyse_frames(frames: jax.Array, config: SignalConfig) -> jax.Array:
    """Return the spectrum (..., F) of frames (..., window_length): window, zero-phase layout, FFT."""
    windowed = frames * jnp.asarray(analysis_window(config), frames.dtype)
    middle = config.window_length // 2
    zeros = jnp.zeros((*frames.shape[:-1], config.fft_length - config.window_length), frames.dtype)
    buffer = jnp.concatenate([windowed[..., middle:], zeros, windowed[..., :middle]], axis=-1)
    return jnp.fft.rfft(buffer)


def synthesise_frames(spectrum: jax.Array, config: SignalConfig) -> jax.Array:
    """Return the windowed frames (..., window_length) of a spectrum (..., F), ready to be overlap-added."""
    buffer = jnp.fft.irfft(spectrum, config.fft_length)
    middle = config.window_length // 2
    frames = jnp.concatenate(
        [buffer[..., config.fft_length - middle :], buffer[..., : config.window_length - middle]], axis=-1
    )
    return frames * jnp.asarray(analysis_window(config), frames.dtype)


def overlapped_squares(count: int, config: SignalConfig) -> np.ndarray:
    """Sum of the squared analysis window over `count` frames; float64, (count - 1) * hop + window_length samples."""
    hops = -(-config.window_length // config.hop_length)
    squares = np.pad(analysis_window(config) ** 2, (0, hops * config.hop_length - config.window_length))
    total = np.zeros((count + hops - 1, config.hop_length))
    for hop, block in enumerate(squares.reshape(hops, config.hop_length)):
        total[hop : hop + count] += block
    return total.reshape(-1)[: (count - 1) * config.hop_length + config.window_length]


def overlap_add(frames: jax.Array, hop_length: int) -> jax.Array:
    """Add frames (..., M, W), each a hop after the one before; returns (..., (M - 1) * hop + W) samples."""
    *lead, count, width = frames.shape
    hops = -(-width // hop_length)
    blocks = jnp.pad(frames, [(0, 0)] * (len(lead) + 1) + [(0, hops * hop_length - width)])
    blocks = blocks.reshape(*lead, count, hops, hop_length)
    total = jnp.zeros((*lead, count + hops - 1, hop_length), blocks.dtype)
    for hop in range(hops):  # the hop-th part of every frame lies hop blocks after the frame's start
        total = total.at[..., hop : hop + count, :].add(blocks[..., hop, :])
    return total.reshape(*lead, -1)[..., : (count - 1) * hop_length + width]


def cut_frames(padded: jax.Array, count: int, config: SignalConfig) -> jax.Array:
    """Cut overlapping frames (..., count, window_length) by stacking shifted blocks of a hop, without a gather."""
    hop = config.hop_length
    hops = -(-config.window_length // hop)
    needed = (count + hops - 1) * hop
    lead = [(0, 0)] * (padded.ndim - 1)
    padded = jnp.pad(padded, [*lead, (0, max(0, needed - padded.shape[-1]))])[..., :needed]
    blocks = padded.reshape(*padded.shape[:-1], count + hops - 1, hop)
    frames = jnp.concatenate([blocks[..., part : part + count, :] for part in range(hops)], axis=-1)
    return frames[..., : config.window_length]


_BLOCK_FRAMES = 1024


def mono_magnitudes(samples_NC: np.ndarray, config: SignalConfig) -> np.ndarray:
    """Return |STFT| of the average of the channels: float32 (frames, F), equal to that of `stft`."""
    mono_N = np.asarray(samples_NC, np.float32).mean(axis=1)
    full = full_frame_count(len(mono_N), config)
    mag_MF = np.zeros((frame_count(len(mono_N), config), config.bins), np.float32)
    hop = config.hop_length
    block_samples = (_BLOCK_FRAMES - 1) * hop + config.window_length
    blocks = range(0, full, _BLOCK_FRAMES)
    padded_N = np.zeros(max(blocks[-1] * hop + block_samples, 3 * hop + len(mono_N)), np.float32)
    padded_N[3 * hop : 3 * hop + len(mono_N)] = mono_N
    for start in blocks:
        count = min(_BLOCK_FRAMES, full - start)
        block_MF = _block_magnitudes(padded_N[start * hop : start * hop + block_samples], config)
        mag_MF[start : start + count] = block_MF[:count]
    return mag_MF


@functools.partial(jax.jit, static_argnames="config")
def _block_magnitudes(samples_N: jax.Array, config: SignalConfig) -> jax.Array:
    return jnp.abs(analyse_frames(cut_frames(samples_N, _BLOCK_FRAMES, config), config))
