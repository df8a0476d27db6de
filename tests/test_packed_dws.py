"""The blocks' form for TPUs, in value, gradient and training, against the plain form on a CPU."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DWS, magnitudes

from madsep_jax import ComputeConfig, DwsMaskerConfig, TrainingConfig
from madsep_jax.ops.dropout import drawn, dropout_key, generator_of
from madsep_jax.ops.dws.block import BlockParameters
from madsep_jax.ops.dws.form import train_block, train_blocks
from madsep_jax.ops.dws.lazy import Upsampled
from madsep_jax.ops.dws.packed import packs_of
from madsep_jax.ops.precision import double_precision
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state, make_train_step

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
    """Of all leaves, relative to the largest element of each; of one that is nothing but rounding, to 0.1."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    pairs = ((np.asarray(a), np.asarray(b)) for a, b in pairs)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 0.1)) for a, b in pairs)


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


@pytest.mark.parametrize(
    ("dilations", "residual"), [((1,), False), pytest.param((1, 2), True, marks=pytest.mark.thorough)]
)
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


@pytest.mark.thorough
@pytest.mark.parametrize("operations", ["plain", "fast"])
def test_five_train_steps_draw_the_same_dropout(operations: str) -> None:
    """The fast form's parameters are the plain one's; another generator gives others."""
    masker = DwsMaskerConfig(layers=2, channels=6, kernel=3, dropout=0.3)
    training = TrainingConfig(batch_size=2, learning_rate=1e-2, adam_epsilon=0.1)

    def trained(operations: str, generator: str = "auto") -> object:
        compute = ComputeConfig(target="tpu", operations=operations, generator=generator)
        config = dataclasses.replace(DWS, masker=masker, training=training, compute=compute)
        state = init_state(config)
        with double_precision():
            double = jax.tree.map(lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf, state)
            double = dataclasses.replace(double, gradient=None)
            mix_BSF = jnp.asarray(magnitudes(2, DWS.sequences.frames, DWS.signal.bins), np.float64)
            batch = Batch(mix_BSF, 0.3 * mix_BSF[:, DWS.sequences.context : -DWS.sequences.context])
            step = jax.jit(make_train_step(config))
            for _ in range(5):
                double, _ = step(double, batch)
            return double.params

    if operations == "fast":
        assert largest_error(trained("fast"), trained("plain")) < 1e-8
    else:
        assert largest_error(trained("plain"), trained("plain", "threefry")) > 1e-4


def test_each_of_several_keys_draws_as_alone() -> None:
    """Bit for bit, and about as many elements as are to be kept."""
    compute = ComputeConfig(target="tpu")
    keys = jax.random.split(jax.random.key(3), 4)

    def draw(key: jax.Array) -> jax.Array:
        return drawn(dropout_key(key, compute), 0.75, (40, 50))

    together, alone = jax.jit(jax.vmap(draw))(keys), jnp.stack([jax.jit(draw)(key) for key in keys])
    np.testing.assert_array_equal(together, alone)
    assert together.mean() == pytest.approx(0.75, abs=0.02)
    assert not np.array_equal(alone[0], alone[1])


def test_the_generator_is_chosen_by_target() -> None:
    found = [generator_of(ComputeConfig(target=target)) for target in ("cpu", "gpu", "tpu")]
    assert found == ["threefry", "threefry", "rbg"]
    assert generator_of(ComputeConfig(target="tpu", generator="threefry")) == "threefry"
