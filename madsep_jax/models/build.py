"""From a config to a model."""

from flax import linen as nn

from madsep_jax.config import DwsMaskerConfig, GruMaskerConfig, MaskerConfig, ModelConfig
from madsep_jax.models.denoiser import Denoiser
from madsep_jax.models.dws_masker import DwsMasker
from madsep_jax.models.gru_masker import GruMasker
from madsep_jax.models.mad import MaskerDenoiser


def build_model(config: ModelConfig) -> MaskerDenoiser:
    """Return the separator that a config describes.

    `model.init(key, mag_BSF)` makes its variables, `model.apply(variables, mag_BSF, train=False)` runs it.
    """
    return MaskerDenoiser(
        masker=build_masker(config.masker, config), denoiser=Denoiser(), context_frames=config.context_frames
    )


def build_masker(masker: MaskerConfig, config: ModelConfig) -> nn.Module:
    """Return the masker alone: a module from mag_BSF to mask_BTF."""
    match masker:
        case GruMaskerConfig():
            return GruMasker(masker, context_frames=config.context_frames)
        case DwsMaskerConfig():
            return DwsMasker(masker, context_frames=config.context_frames)
