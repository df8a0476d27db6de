"""The maskers that there are, and from a config to a model."""

from flax import linen as nn

from madsep_jax.config.maskers import KINDS, MaskerConfig
from madsep_jax.config.run import ModelConfig
from madsep_jax.models import autoencoder, dilated, dws_masker, mad, mingru_masker, outside
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import Denoiser
from madsep_jax.models.mad import MaskerDenoiser, SeparationModel

#: By kind.
ARCHITECTURES: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Make a masker known, to configurations as well."""
    kind = architecture.settings.kind
    KINDS[kind], ARCHITECTURES[kind] = architecture.settings, architecture


for _module in (mad, mingru_masker, dws_masker, dilated, autoencoder, outside):
    register(_module.ARCHITECTURE)


def architecture_of(masker: MaskerConfig) -> Architecture:
    """Return what is known of a masker."""
    return ARCHITECTURES[masker.kind]


def build_model(config: ModelConfig) -> SeparationModel:
    """Return the separator that a config describes.

    `model.init(key, mag_BSF)` makes its variables, `model.apply(variables, mag_BSF, train=False)` runs it.
    """
    module: nn.Module = architecture_of(config.masker).module(config.masker, config.context_frames, config.compute)
    return module if isinstance(module, SeparationModel) else MaskerDenoiser(module, Denoiser(), config.context_frames)
