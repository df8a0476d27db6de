"""How much of a mapping from spectrum to spectrum lies on its diagonal, where a bin is made from the same bin alone."""

import numpy as np
from numpy.typing import ArrayLike


def diagonal_share(matrix_FF: ArrayLike, within_bins: int = 0) -> float:
    """Return the share of a matrix's energy (sum of squares) within so many bins of its diagonal: 0 to 1.

    Those are the entries (i, j) with |i - j| up to `within_bins`. To be read against `uniform_share`: a scalar filter,
    a gain for each bin, has 1; a matrix without any structure has the uniform share; one of zeros NaN.

    Raises:
        ValueError: where the matrix is not square, or the distance is negative.
    """
    matrix_FF = np.asarray(matrix_FF, np.float64)
    if matrix_FF.ndim != 2 or matrix_FF.shape[0] != matrix_FF.shape[1]:
        raise ValueError(f"matrix_FF: found shape {matrix_FF.shape}, expected a square matrix")
    largest = np.max(np.abs(matrix_FF), initial=0.0)
    if largest == 0:
        return float("nan")
    energy_FF = np.square(matrix_FF / largest)  # of numbers up to 1: the squares of tiny ones would be 0
    near = np.abs(np.subtract.outer(np.arange(len(matrix_FF)), np.arange(len(matrix_FF)))) <= _checked(within_bins)
    near_energy, far_energy = energy_FF[near].sum(), energy_FF[~near].sum()
    return float(near_energy / (near_energy + far_energy))  # exactly 1 where all is near


def uniform_share(bins: int, within_bins: int = 0) -> float:
    """Return the diagonal share of a matrix whose entries are all alike: 1/F for the diagonal alone."""
    reach = min(_checked(within_bins), bins - 1)
    return (bins * (2 * reach + 1) - reach * (reach + 1)) / bins**2


def bins_within(distance_hz: float, bin_width_hz: float) -> int:
    """Return the number of bins that a distance in Hz reaches to, rounded down."""
    return int(distance_hz / bin_width_hz + 1e-9)


def _checked(within_bins: int) -> int:
    if within_bins < 0:
        raise ValueError(f"within_bins: found {within_bins}, expected 0 or more")
    return within_bins
