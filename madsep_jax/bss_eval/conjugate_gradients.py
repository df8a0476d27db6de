"""Linear equations by preconditioned conjugate gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.bss_eval.toeplitz import Product

#: Steps without which it ends in any case.
_MOST_STEPS = 40
_EPSILON = 2.0**-52

#: The largest error that may be taken for rounding's. One of 1e-12, as of swapped stems of music, changes scores by
#: 1e-6 dB; one of 1e-7, as of signals shorter than the filters, can be seen.
_SMALL = 1e-10


class Solution(NamedTuple):
    """What was reached."""

    x_KLY: jax.Array
    error: jax.Array
    """Energy of what is left, as a share of the solution's, at worst over the columns; 0 in those of which nothing is
    left but rounding, +inf where the preconditioner has turned out not to be positive, so that energies mean nothing.
    """


class _State(NamedTuple):
    x_KLY: jax.Array
    residual_KLY: jax.Array
    direction_KLY: jax.Array
    energy_Y: jax.Array
    broken_Y: jax.Array
    step: jax.Array


def solve(
    multiply: Product,
    precondition: Product,
    target_KLY: jax.Array,
    tolerance: float,
    *,
    norm: float,
    surely_positive: bool,
) -> Solution:
    """Solve symmetric, positive semidefinite equations of right-hand sides `target_KLY`, column by column.

    Args:
        multiply: the product with the matrix.
        precondition: the product with nearly its inverse. The steps take out again what was added to the matrix to let
            it be inverted.
        tolerance: energy of the error, as a share of the solution's, at which a column is left as it is.
        norm: about the matrix's, by which is told what rounding leaves: a column whose residual is as small as that of
            a direct solution is as close to the true one as double precision gets.
        surely_positive: whether the preconditioner is positive however it was rounded, so that a column whose energies
            turn negative has come down to rounding, and need not be given up.
    """
    start_KLY = precondition(target_KLY)
    whole_Y = _dot(target_KLY, start_KLY)
    smallest_Y = tolerance * whole_Y

    def left(state: _State) -> jax.Array:
        return (state.energy_Y > smallest_Y) & ~state.broken_Y

    def goes_on(state: _State) -> jax.Array:
        return left(state).any() & (state.step < _MOST_STEPS)

    def step(state: _State) -> _State:
        left_Y = left(state)
        product_KLY = multiply(state.direction_KLY)
        curvature_Y = _dot(state.direction_KLY, product_KLY)
        length_Y = jnp.where(left_Y, _ratio(state.energy_Y, curvature_Y), 0)
        residual_KLY = state.residual_KLY - length_Y * product_KLY
        conditioned_KLY = precondition(residual_KLY)
        energy_Y = jnp.where(left_Y, _dot(residual_KLY, conditioned_KLY), state.energy_Y)
        direction_KLY = conditioned_KLY + _ratio(energy_Y, state.energy_Y) * state.direction_KLY
        broken_Y = state.broken_Y | left_Y & ~((curvature_Y > 0) & (energy_Y >= -smallest_Y))  # so is NaN
        x_KLY = state.x_KLY + length_Y * state.direction_KLY
        return _State(x_KLY, residual_KLY, direction_KLY, energy_Y, broken_Y, state.step + 1)

    first = _State(jnp.zeros_like(target_KLY), target_KLY, start_KLY, whole_Y, ~(whole_Y >= 0), jnp.asarray(0))
    last = jax.lax.while_loop(goes_on, step, first)
    residual_KLY = target_KLY - multiply(last.x_KLY)  # the true one: that of the steps drifts away from it
    error_Y = jnp.abs(_ratio(_dot(residual_KLY, precondition(residual_KLY)), whole_Y))
    broken_Y = jnp.isnan(error_Y) | (last.broken_Y & (not surely_positive))
    # The normwise backward error: J. L. Rigal, J. Gaches, On the compatibility of a given solution, JACM 14(3), 1967.
    rounding_Y = _EPSILON * target_KLY.shape[1] * (norm * _length(last.x_KLY) + _length(target_KLY))
    error_Y = jnp.where((_length(residual_KLY) <= rounding_Y) & (error_Y < _SMALL), 0, error_Y)
    return Solution(last.x_KLY, jnp.where(broken_Y, jnp.inf, error_Y).max())


def _length(x_KLY: jax.Array) -> jax.Array:
    return jnp.sqrt(_dot(x_KLY, x_KLY))


def _dot(x_KLY: jax.Array, y_KLY: jax.Array) -> jax.Array:
    return (x_KLY * y_KLY).sum((0, 1))


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Return the ratio, and 0 where there is nothing left to do; NaN stays NaN."""
    return jnp.where(numerator == 0, 0, numerator / jnp.where(numerator == 0, 1, denominator))
