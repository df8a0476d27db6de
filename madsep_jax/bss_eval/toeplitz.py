"""Symmetric block-Toeplitz matrices: the products with one, and with the inverse of one, by Fourier transforms.

Vectors are (K, L, Y): K channels, L taps, Y of them side by side. The matrix of the correlations c has the elements
G[(k, a), (l, b)] = c_kl[a - b]; `correlation_KKT` are c_kl[t] for t from -(L - 1) to L - 1, with c_kl[t] = c_lk[-t].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

Product = Callable[[jax.Array], jax.Array]

#: Forward and backward predictor, and the backward one's last block.
_Predictors = tuple[jax.Array, jax.Array, jax.Array]


def product(correlation_KKT: jax.Array) -> Product:
    """Return the product with the matrix."""
    taps = (correlation_KKT.shape[-1] + 1) // 2
    length = 2 * taps
    spectrum_KKF = _spectrum(correlation_KKT)

    def multiply(x_KLY: jax.Array) -> jax.Array:
        x_KFY = jnp.fft.rfft(x_KLY, length, axis=1)
        return jnp.fft.irfft(jnp.einsum("klf,lfy->kfy", spectrum_KKF, x_KFY), length, axis=1)[:, :taps]

    return multiply


def largest_eigenvalue_bound(correlation_KKT: jax.Array) -> jax.Array:
    """Return about the largest value that a positive matrix's eigenvalues may have: the peak of its power spectrum."""
    return jnp.abs(jnp.trace(_spectrum(correlation_KKT))).max()


def levinson_inverse(correlation_KKT: jax.Array) -> Product:
    """Return the product with the inverse of the matrix, which has to be positive definite; NaN where it is not.

    The block-Levinson recursion finds the forward and backward predictors of order 1 to L, in some K³ L² steps in place
    of the K³ L³ of a Cholesky factorisation, and the Gohberg-Semencul formula gives the inverse from those of order
    L. As close to the inverse as the matrix is well-conditioned: to be used as a preconditioner.

    Source: P. Whittle, On the fitting of multivariate autoregressions, Biometrika 50, 1963; I. Gohberg, A. Semencul,
    1972; in the normalised form of M. Morf, A. Vieira, T. Kailath, Covariance characterization by partial
    autocorrelation matrices, Annals of Statistics 6(3), 1978.
    """
    k = correlation_KKT.shape[0]
    taps = (correlation_KKT.shape[-1] + 1) // 2
    # [c[L - 1], …, c[1], c[0], 0, …]: cut from L - 1 - m on, the last block row of order m + 1
    future_KLK = jnp.moveaxis(correlation_KKT[..., taps - 1 :], 1, 2)
    row_KX = jnp.concatenate([future_KLK[:, ::-1], jnp.zeros_like(future_KLK)], axis=1).reshape(k, -1)
    eye_KK = jnp.eye(k)
    first_KK = jnp.linalg.cholesky(correlation_KKT[:, :, taps - 1])
    start_KK = solve_triangular(first_KK, eye_KK, lower=True).T
    zero_XK = jnp.zeros(((taps - 1) * k, k))
    forward_XK = jnp.concatenate([start_KK, zero_XK])

    def grow(predictors: _Predictors, order: jax.Array) -> tuple[_Predictors, None]:
        forward_XK, backward_XK, last_KK = predictors
        backward_XK = jnp.concatenate([jnp.zeros((k, k)), backward_XK[:-k]])
        row = jax.lax.dynamic_slice_in_dim(row_KX, (taps - 1 - order) * k, taps * k, axis=1)
        reflection_KK = last_KK.T @ (row @ forward_XK)
        gain_forward_KK = _inverse_root(eye_KK - reflection_KK.T @ reflection_KK)
        gain_backward_KK = _inverse_root(eye_KK - reflection_KK @ reflection_KK.T)
        grown_XK = (forward_XK - backward_XK @ reflection_KK) @ gain_forward_KK
        backward_XK = (backward_XK - forward_XK @ reflection_KK.T) @ gain_backward_KK
        return (grown_XK, backward_XK, last_KK @ gain_backward_KK), None

    (forward_XK, backward_XK, _), _ = jax.lax.scan(grow, (forward_XK, forward_XK, start_KK), jnp.arange(1, taps))
    return _from_predictors(forward_XK.reshape(taps, k, k), backward_XK.reshape(taps, k, k))


def cholesky_inverse(correlation_KKT: jax.Array) -> Product:
    """Return the product with the inverse of the matrix, by a Cholesky factorisation of all of it."""
    lower_XX = jax.lax.linalg.cholesky(_matrix(correlation_KKT), symmetrize_input=False)

    def multiply(x_KLY: jax.Array) -> jax.Array:
        x_XY = solve_triangular(lower_XX, x_KLY.reshape(len(lower_XX), -1), lower=True)
        return solve_triangular(lower_XX, x_XY, lower=True, trans=1).reshape(x_KLY.shape)

    return multiply


def solve_by_elimination(correlation_KKT: jax.Array, target_KLY: jax.Array) -> jax.Array:
    """Solve the equations by Gaussian elimination with partial pivoting; not finite where a pivot is zero."""
    matrix_XX = _matrix(correlation_KKT)
    return jnp.linalg.solve(matrix_XX, target_KLY.reshape(len(matrix_XX), -1)).reshape(target_KLY.shape)


def _spectrum(correlation_KKT: jax.Array) -> jax.Array:
    """Return the spectrum of the circular correlation of twice as many samples as taps, zero at the lag in between."""
    circular_KKT = jnp.pad(correlation_KKT, ((0, 0), (0, 0), (0, 1)))
    taps = circular_KKT.shape[-1] // 2
    return jnp.fft.rfft(jnp.roll(circular_KKT, -(taps - 1), axis=-1))


def _matrix(correlation_KKT: jax.Array) -> jax.Array:
    k = correlation_KKT.shape[0]
    taps = (correlation_KKT.shape[-1] + 1) // 2
    lag_LL = jnp.arange(taps)[:, None] - jnp.arange(taps) + taps - 1
    return jnp.moveaxis(correlation_KKT[..., lag_LL], 1, 2).reshape(k * taps, k * taps)


def _inverse_root(x_KK: jax.Array) -> jax.Array:
    """Return U, upper triangular, with U Uᵀ = x⁻¹."""
    return solve_triangular(jnp.linalg.cholesky(x_KK), jnp.eye(len(x_KK)), lower=True).T


def _from_predictors(forward_LKK: jax.Array, backward_LKK: jax.Array) -> Product:
    taps = len(forward_LKK)
    length = 2 * taps
    shifted_LKK = jnp.concatenate([jnp.zeros_like(backward_LKK[:1]), backward_LKK[:-1]])
    spectra = [jnp.fft.rfft(filter_LKK, length, axis=0) for filter_LKK in (forward_LKK, shifted_LKK)]

    def multiply(x_KLY: jax.Array) -> jax.Array:
        x_KFY = jnp.fft.rfft(x_KLY, length, axis=1)
        products = []
        for spectrum_FKK in spectra:
            inner_KLY = jnp.fft.irfft(jnp.einsum("flk,lfy->kfy", spectrum_FKK.conj(), x_KFY), length, axis=1)
            inner_KFY = jnp.fft.rfft(inner_KLY[:, :taps], length, axis=1)
            products.append(jnp.einsum("fkl,lfy->kfy", spectrum_FKK, inner_KFY))
        return jnp.fft.irfft(products[0] - products[1], length, axis=1)[:, :taps]

    return multiply
