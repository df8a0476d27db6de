"""MaD's masker: a bidirectional GRU encoder and a GRU decoder (eq. 1 to 6 of the DWS paper)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config import GruMaskerConfig
from madsep_jax.models.denoiser import dense
from madsep_jax.models.gru import Gru


class GruMasker(nn.Module):
    """Trim, encode in both directions, add the residual, drop the context, decode, map to a mask."""

    config: GruMaskerConfig
    context_frames: int

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> jax.Array:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF; `train` changes nothing here."""
        h_BTH = self.encode(mag_BSF)
        h_BTH = Gru(h_BTH.shape[-1], name="decoder")(h_BTH)
        return nn.relu(dense(mag_BSF.shape[-1], "mask_layer")(h_BTH))

    def encode(self, mag_BSF: jax.Array) -> jax.Array:
        """Return the encoder's states with the residual, context frames dropped (eq. 1 to 4); (batch, T, 2R)."""
        reduced_BSR = mag_BSF[..., : self.config.reduced_bins]
        forward_BSR = Gru(self.config.reduced_bins, name="encoder_forward")(reduced_BSR)
        backward_BSR = Gru(self.config.reduced_bins, reverse=True, name="encoder_backward")(reduced_BSR)
        both_axes = self.config.residual_flip == "time_and_frequency"
        flipped_BSR = jnp.flip(reduced_BSR, axis=(1, 2) if both_axes else 1)
        h_BSH = jnp.concatenate([forward_BSR + reduced_BSR, backward_BSR + flipped_BSR], axis=-1)
        return h_BSH[:, self.context_frames : mag_BSF.shape[1] - self.context_frames]
