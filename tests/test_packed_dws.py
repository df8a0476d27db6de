"""The blocks' form for TPUs, in value, gradient and training, against the plain form on a CPU."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.dws.block import BlockParameters
from madsep_jax.ops.dws.form import train_block, train_blocks
from madsep_jax.ops.dws.lazy import Upsampled
from madsep_jax.ops.dws.packed import packs_of
from madsep_jax.ops.precision import double_precision

FORMS = {name: ComputeConfig(target="tpu", operations=name) for name in ("plain", "fast")}
CASES = [  # batch, frames, width, channels of input and block, pool, dropout
    (4, 7, 13, 1, 6, 5, True),
    (1, 5, 9, 1, 4, 1, False),
    (4, 6, 11, 64, 64, 5, True),
    (3, 4, 12, 5, 5, 2, True),
    (2, 3, 5, 130, 130, 1, False),
]


def parameters_of(random: np.random.Generator, channels: int, layers: tuple[int, ...] = ()) -> BlockParameters:
    sizes = [(5, 5, channels), *[(channels,)] * 3, (channels, channels), *[(channels,)] * 3]
    return BlockParameters(*(jnp.asarray(random.normal(size=(*layers, *size)) / 3) for size in sizes))


def largest_error(found: object, expected: object) -> float:
    """Of all leaves, relative to the largest element of each."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.maximum(jnp.abs(b).max(), 1e-3)) for a, b in pairs)


def gradients(form: str, kept: jax.Array | None, pool: int, parameters: object, x: object) -> object:
    def loss(parameters: BlockParameters, x: jax.Array) -> tuple[jax.Array, object]:
        y, moments = train_block(parameters, x, kept, FORMS[form], pool=pool)
        return jnp.sum(jnp.sin(y + jnp.arange(y.size).reshape(y.shape))), (y, moments)

    return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(parameters, x)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("bits", "tolerance"), [(64, 1e-10), (32, 1e-4)])
def test_a_packed_block_is_the_block(case: tuple, bits: int, tolerance: float) -> None:
    batch, frames, width, inputs, channels, pool, drops = case
    random = np.random.default_rng(0)
    with double_precision(bits == 64):
        parameters = parameters_of(random, channels)
        x = jnp.asarray(random.normal(size=(batch, frames, width, inputs)))
        parameters = parameters._replace(outer_scale_C=parameters.outer_scale_C.at[0].set(0))
        kept = jnp.asarray(random.integers(0, 2, (batch, channels)) * 1.25, x.dtype) if drops else None
        found, expected = (gradients(form, kept, pool, parameters, x) for form in ("fast", "plain"))
        assert largest_error(found, expected) < tolerance


def test_an_upsampled_input_is_packed_before_it_is_upsampled() -> None:
    random = np.random.default_rng(1)
    with double_precision():
        parameters = parameters_of(random, 3)
        up = Upsampled(*(jnp.asarray(random.normal(size=size)) for size in ((4, 5, 6, 3), (3, 2, 3), (3,))))
        found, expected = (gradients(form, None, 2, parameters, up) for form in ("fast", "plain"))
        assert largest_error(found, expected) < 1e-10


@pytest.mark.parametrize(("dilations", "residual"), [((1,), False), ((1, 2), True)])
def test_packed_blocks_are_the_blocks(dilations: tuple[int, ...], residual: bool) -> None:
    random = np.random.default_rng(2)
    with double_precision():
        parameters_L = parameters_of(random, 4, (3,))
        x, kept = jnp.asarray(random.normal(size=(4, 7, 6, 4))), jnp.asarray(random.integers(0, 2, (3, 4, 4)) * 1.25)

        def run(form: str, remat: bool = False) -> object:
            compute = dataclasses.replace(FORMS[form], remat=remat)

            def loss(parameters_L: BlockParameters, x: jax.Array) -> tuple[jax.Array, object]:
                y, moments = train_blocks(parameters_L, x, kept, compute, dilations=dilations, residual=residual)
                return jnp.sum(jnp.sin(y + jnp.arange(y.size).reshape(y.shape))), (y, moments)

            return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(parameters_L, x)

        expected = run("plain")
        assert largest_error(run("fast"), expected) < 1e-10
        assert largest_error(run("fast", remat=True), expected) < 1e-10


def test_packs_divide_the_batch_and_fit_into_the_lanes() -> None:
    sizes = [(4, 64), (4, 16), (3, 16), (3, 64), (4, 256), (5, 10)]
    assert [packs_of(*size) for size in sizes] == [2, 4, 3, 1, 1, 5]
