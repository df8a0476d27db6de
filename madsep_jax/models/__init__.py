"""The separators, one box of the papers a file."""

from madsep_jax.models.mad import MaskerDenoiser, Separation
from madsep_jax.models.registry import build_model

__all__ = ["MaskerDenoiser", "Separation", "build_model"]
