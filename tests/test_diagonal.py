import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from madsep_jax.couplings.diagonal import bins_within, diagonal_share, uniform_share


@pytest.mark.parametrize("within", [0, 1, 7, 100])
def test_diagonal_share_of_a_gain_for_each_bin_is_one(within):
    assert diagonal_share(np.eye(8), within) == 1
    assert diagonal_share(np.diag(np.linspace(-2, 3, 8)), within) == 1


@pytest.mark.parametrize(("bins", "within"), [(1, 0), (5, 0), (5, 1), (5, 4), (5, 9), (6, 2)])
def test_diagonal_share_of_equal_entries_is_the_uniform_one(bins, within):
    assert diagonal_share(np.full((bins, bins), -3.0), within) == pytest.approx(uniform_share(bins, within), rel=1e-12)


def test_uniform_share_by_hand():
    assert uniform_share(2049) == 1 / 2049
    assert uniform_share(3, 1) == pytest.approx(7 / 9)
    assert uniform_share(3, 2) == 1


def test_diagonal_share_by_hand():
    matrix_FF = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.0], [3.0, 0.0, 1.0]])
    assert diagonal_share(matrix_FF) == pytest.approx(3 / 16)
    assert diagonal_share(matrix_FF, 1) == pytest.approx(7 / 16)
    assert diagonal_share(matrix_FF, 2) == 1


matrices = npst.arrays(np.float64, st.integers(1, 7).map(lambda bins: (bins, bins)), elements=st.floats(-1e200, 1e200))


@settings(max_examples=60)
@given(matrix_FF=matrices, within=st.integers(0, 8))
def test_diagonal_share_grows_with_the_distance_from_0_to_1(matrix_FF, within):
    share, wider = diagonal_share(matrix_FF, within), diagonal_share(matrix_FF, within + 1)
    if not matrix_FF.any():
        assert np.isnan(share)
        return
    assert 0 <= share <= wider + 1e-12
    assert wider <= 1
    assert diagonal_share(matrix_FF, len(matrix_FF) - 1) == 1


def test_diagonal_share_refuses():
    with pytest.raises(ValueError, match=r"matrix_FF: found shape \(2, 3\), expected a square matrix"):
        diagonal_share(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="within_bins: found -1, expected 0 or more"):
        diagonal_share(np.eye(2), -1)


def test_bins_within_a_distance():
    assert [bins_within(hz, 10.0) for hz in (0, 9.9, 10, 29)] == [0, 0, 1, 2]
    assert bins_within(0.3, 0.1) == 3  # although 0.3 / 0.1 is just below 3
