"""Denoising autoencoders on single frames, F → F → F.

Mimilakis, Drossos, Cano, Schuller: Examining the Mapping Functions of Denoising Autoencoders in Singing Voice
Separation, 2020 (arXiv:1904.06157).
"""

import jax
from flax import linen as nn

from madsep_jax.config.maskers import AutoencoderConfig
from madsep_jax.models.denoiser import dense
from madsep_jax.models.mad import Separation
from madsep_jax.signal.framing import middle_frames


class Autoencoder(nn.Module):
    """Hidden layers of F units, then an output layer of as many, a ReLU after each.

    The output is the voice itself, or with skip-filtering a mask for the input.
    """

    config: AutoencoderConfig
    context_frames: int

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in each of the middle frames of mag_BSF alone; `train` changes nothing here."""
        mix_BTF = middle_frames(mag_BSF, self.context_frames)
        h_BTF = mix_BTF
        for layer in range(self.config.hidden_layers):
            h_BTF = nn.relu(dense(h_BTF.shape[-1], f"hidden_{layer}")(h_BTF))
        output_BTF = nn.relu(dense(h_BTF.shape[-1], "output")(h_BTF))
        voice_BTF = mix_BTF * output_BTF if self.config.skip_filtering else output_BTF
        return Separation(masker_BTF=None, voice_BTF=voice_BTF)
