"""From a config to a model."""

from flax import linen as nn

from madsep_jax.config.maskers import AutoencoderConfig, DilatedConfig, DwsMaskerConfig, GruMaskerConfig, MaskerConfig
from madsep_jax.config.run import ModelConfig
from madsep_jax.models.autoencoder import Autoencoder
from madsep_jax.models.denoiser import Denoiser
from madsep_jax.models.dilated_system import DilatedMasker, DilatedSystem
from madsep_jax.models.dws_masker import DwsMasker
from madsep_jax.models.gru_masker import GruMasker
from madsep_jax.models.mad import Mad, MaskerDenoiser
from madsep_jax.models.twin import Twin


def build_model(config: ModelConfig) -> nn.Module:
    """Return the separator that a config describes.

    `model.init(key, mag_BSF)` makes its variables, `model.apply(variables, mag_BSF, train=False)` runs it.
    """
    operations, remat = config.compute.operations, config.compute.remat
    match config.masker:
        case GruMaskerConfig() as gru:
            twin = Twin(gru.twin_flip, operations, remat) if gru.twin else None
            masker = GruMasker(gru, config.context_frames, operations, remat)
            return Mad(masker, Denoiser(), config.context_frames, twin)
        case DilatedConfig(role="system") as dilated:
            return DilatedSystem(dilated, config.context_frames, operations, remat)
        case AutoencoderConfig() as autoencoder:
            return Autoencoder(autoencoder, config.context_frames)
        case other:
            return MaskerDenoiser(build_masker(other, config), Denoiser(), config.context_frames)


def build_masker(masker: MaskerConfig, config: ModelConfig) -> nn.Module:
    """Return the masker alone: a module from mag_BSF to mask_BTF."""
    context_frames, compute = config.context_frames, config.compute
    match masker:
        case GruMaskerConfig():
            return GruMasker(masker, context_frames, compute.operations, compute.remat)
        case DwsMaskerConfig():
            return DwsMasker(masker, context_frames, compute)
        case DilatedConfig():
            return DilatedMasker(masker, context_frames, compute.operations, compute.remat)
    raise TypeError(f"no masker for {masker!r}")
