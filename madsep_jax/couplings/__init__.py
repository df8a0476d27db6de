"""The neural couplings algorithm: from a trained model to one matrix from mixture to voice."""

from madsep_jax.couplings.diagonal import bins_within, diagonal_share, uniform_share
from madsep_jax.couplings.fit import CouplingsFit, fit_couplings, fit_student, map_frames

__all__ = [
    "CouplingsFit",
    "bins_within",
    "diagonal_share",
    "fit_couplings",
    "fit_student",
    "map_frames",
    "uniform_share",
]
