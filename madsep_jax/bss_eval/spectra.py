"""Lengths of Fourier transforms, and energies of spectra."""

import jax
import scipy.fft


def fft_length(samples: int, *, exact: bool) -> int:
    """Return a length of at least so many samples at which the transform is fast.

    Args:
        samples: that the transform must hold.
        exact: the next one; else one of four an octave, so that songs of many lengths share few compiled programs.
    """
    if exact:
        return int(scipy.fft.next_fast_len(samples, real=True))
    step = 2 ** max((samples - 1).bit_length() - 3, 6)
    return -(-samples // step) * step


def energy(spectrum_XF: jax.Array, length: int) -> jax.Array:
    """Return the energy of real signals from the last axis of their `rfft` of `length` points (Parseval)."""
    power_XF = spectrum_XF.real**2 + spectrum_XF.imag**2
    twice = 2 * power_XF.sum(-1) - power_XF[..., 0]
    return (twice - power_XF[..., -1] if length % 2 == 0 else twice) / length
