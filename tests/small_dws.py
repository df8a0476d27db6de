"""What the tests of the fast depthwise-separable blocks share: arguments, and value and gradients of a form."""

import contextlib
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_close

from madsep_jax.ops.dws.block import BlockMoments, BlockParameters
from madsep_jax.ops.dws.lazy import as_array


@contextlib.contextmanager
def small_chunks() -> Iterator[None]:
    """Cut inputs of a few values into several chunks and tiles, as those of full size are.

    A frame of 7 frequencies and 3 channels has two tiles; a chunk two frames of it, and up to 5 where the kernel's
    gradient is summed.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("madsep_jax.ops.dws.fast_parts.CHUNK_VALUES", 60)
        patch.setattr("madsep_jax.ops.dws.fast_parts.PRODUCT_ROWS", 5)
        patch.setattr("madsep_jax.ops.dws.depthwise_rows._TILE_VALUES", 12)
        patch.setattr("madsep_jax.ops.dws.form.goes_whole", lambda values: False)
        jax.clear_caches()  # nothing that was traced with the other numbers
        yield


def block_parameters(channels: int, side: int, layers: int | None = None, seed: int = 0) -> BlockParameters:
    """Parameters that leave no term out: scales of about 1 and of both signs, biases of about 0.5."""
    random, stack = np.random.default_rng(seed), () if layers is None else (layers,)

    def normal(*shape: int, size: float = 1.0) -> jax.Array:
        return jnp.asarray(size * random.normal(size=(*stack, *shape)))

    def scale() -> jax.Array:
        signs = np.resize([1, -1], channels)
        return jnp.asarray(signs * random.uniform(0.5, 1.5, (*stack, channels)))

    return BlockParameters(
        normal(side, side, channels),
        normal(channels, size=0.5),
        scale(),
        normal(channels, size=0.5),
        normal(channels, channels),
        normal(channels, size=0.5),
        scale(),
        normal(channels, size=0.5),
    )


def given_moments(channels: int, layers: int | None = None) -> BlockMoments:
    """Running statistics, of no batch."""
    random, shape = np.random.default_rng(5), (channels,) if layers is None else (layers, channels)
    mean, var = (lambda: jnp.asarray(random.normal(size=shape))), (lambda: jnp.asarray(random.uniform(0.5, 2, shape)))
    return BlockMoments(mean(), var(), mean(), var())


def normal(*shape: int, seed: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def kept_factors(*shape: int) -> jax.Array:
    """Dropout factors, a third of them 0; of two sequences, each channel is kept in at least one."""
    return jnp.asarray(np.where(np.indices(shape).sum(0) % 3 == 0, 0.0, 1.5))


def value_and_gradients(form, *arguments, **options):
    """Return y, the moments, and the gradients of a sum with weights of its own for each element of y."""

    def total(*arguments):
        y, moments = form(*arguments, **options)
        y_BTWC = as_array(y)
        weights = normal(*y_BTWC.shape, seed=9)
        return jnp.sum(weights * y_BTWC), (y_BTWC, moments)

    differentiate = jax.value_and_grad(total, argnums=tuple(range(len(arguments))), has_aux=True)
    (_, (y_BTWC, moments)), gradients = jax.jit(differentiate)(*arguments)
    return y_BTWC, moments, gradients


def assert_equal_trees(found, expected) -> None:
    """Assert that arrays are equal within 1e-10 of each one's largest value."""
    jax.tree.map(functools.partial(assert_close, tolerance=1e-10), found, expected)


def assert_equal_overall(found, expected) -> None:
    """Assert that arrays are equal within 1e-10 of the largest value of them all.

    This is for few positions, whose BatchNorm divides by almost nothing: some gradients then are no more than what is
    left when large terms cancel, and have no scale of their own.
    """
    largest = max(np.abs(leaf).max(initial=0) for leaf in jax.tree.leaves(expected))

    def compare(found, expected):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * largest)

    jax.tree.map(compare, found, expected)
