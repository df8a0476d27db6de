"""Masker and Denoiser, the whole separator (sec. II of the DWS paper)."""

from typing import NamedTuple

import jax
from flax import linen as nn


class Separation(NamedTuple):
    """What a separator returns: magnitudes of the voice, without the context frames."""

    masker_BTF: jax.Array
    """V̂'_j, the filtered mixture (eq. 7)."""
    voice_BTF: jax.Array
    """V̂_j, the denoised estimate, the result (eq. 10)."""


class MaskerDenoiser(nn.Module):
    """A masker filters the mixture, a denoiser refines what it let through.

    The masker is a module that maps the mixture's magnitudes mag_BSF to a mask_BTF; the denoiser one that maps the
    filtered magnitudes to a second mask.
    """

    masker: nn.Module
    denoiser: nn.Module
    context_frames: int

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in a mixture.

        Args:
            mag_BSF: magnitudes (≥ 0) of the mixture: batch, S = T + 2L frames, F bins.
            train: use batch statistics and dropout (which needs the `dropout` PRNG key), update running statistics.
        """
        mix_BTF = mag_BSF[:, self.context_frames : mag_BSF.shape[1] - self.context_frames]
        masker_BTF = mix_BTF * self.masker(mag_BSF, train)
        return Separation(masker_BTF=masker_BTF, voice_BTF=masker_BTF * self.denoiser(masker_BTF))
