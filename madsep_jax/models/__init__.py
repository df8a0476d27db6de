"""The separators, one box of the papers a file."""

from madsep_jax.models.build import build_model
from madsep_jax.models.mad import MaskerDenoiser, Separation

__all__ = ["MaskerDenoiser", "Separation", "build_model"]
