"""Denoising autoencoders on single frames, F → F → F.

Mimilakis, Drossos, Cano, Schuller: Examining the Mapping Functions of Denoising Autoencoders in Singing Voice
Separation, 2020 (arXiv:1904.06157).
"""

import jax
from flax import linen as nn

from madsep_jax.config.maskers import AutoencoderConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import dense
from madsep_jax.models.mad import Separation, SeparationModel
from madsep_jax.signal.framing import middle_frames


class Autoencoder(SeparationModel):
    """Hidden layers of F units, then an output layer of as many, a ReLU after each.

    The output is the voice itself, or with skip-filtering a mask for the input.
    """

    config: AutoencoderConfig
    context_frames: int

    last_layer = ("output",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in each of the middle frames of mag_BSF alone; `train` changes nothing here."""
        mix_BTF = middle_frames(mag_BSF, self.context_frames)
        h_BTF = mix_BTF
        for layer in _layers(self.config):
            h_BTF = nn.relu(dense(h_BTF.shape[-1], layer)(h_BTF))
        voice_BTF = mix_BTF * h_BTF if self.config.skip_filtering else h_BTF
        return Separation(masker_BTF=None, voice_BTF=voice_BTF)


def _layers(config: AutoencoderConfig) -> tuple[str, ...]:
    return (*(f"hidden_{number}" for number in range(config.hidden_layers)), "output")


ARCHITECTURE = Architecture(
    AutoencoderConfig, lambda config, context_frames, _: Autoencoder(config, context_frames), layers=_layers
)
