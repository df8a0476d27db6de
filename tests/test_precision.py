"""bfloat16 between float32 parameters, statistics and loss; and gradients for which blocks are computed again."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tame_state import tame_state
from tiny import DWS, GRU, magnitudes

from madsep_jax import DilatedConfig, MinGruMaskerConfig, separation
from madsep_jax.config.io import override
from madsep_jax.config.run import ComputeConfig
from madsep_jax.errors import InputError
from madsep_jax.export import export_forward
from madsep_jax.ops.precision import computing_in
from madsep_jax.ops.shared_batch import is_shared
from madsep_jax.train import losses
from madsep_jax.train.batch import Batch
from madsep_jax.train.gradient import make_gradient
from madsep_jax.train.step import init_state, make_train_step

PLAIN = {"compute.operations": "plain"}
SYSTEMS = {
    "dws": override(DWS, {**PLAIN, "masker.layers": 2}),
    "gru": override(GRU, PLAIN),
    "fast gru": override(GRU, {"compute.operations": "fast"}),
    "twinnet": override(GRU, {**PLAIN, "masker.twin": True}),
    "ris": override(GRU, {**PLAIN, "masker.recurrent_iterations": 2, "masker.recurrent_tolerance": 1e-4}),
    "mingru": dataclasses.replace(GRU, masker=MinGruMaskerConfig(reduced_bins=9)),
    "dilated": dataclasses.replace(GRU, masker=DilatedConfig(role="system", blocks=2, channels=8, groups=2)),
}


def batch(config):
    mix_BSF = magnitudes(config.training.batch_size, config.sequences.frames, config.signal.bins)
    return Batch(mix_BSF, 0.5 * mix_BSF[:, config.sequences.context : -config.sequences.context])


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_bfloat16_keeps_state_and_loss_in_float32(system):
    """Parameters, the optimiser's state, the statistics, the gradient and the loss."""
    config = SYSTEMS[system]
    low = override(config, {"compute.precision": "bfloat16"})
    state = jax.eval_shape(lambda: init_state(config))
    text, (state, metrics) = jax.make_jaxpr(make_train_step(low), return_shape=True)(state, batch(low))
    assert "bf16" in str(text)
    for leaf in jax.tree.leaves((state.params, state.batch_stats, state.opt_state, state.gradient, metrics)):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    assert "bf16" not in str(jax.make_jaxpr(make_train_step(config))(state, batch(config)))


def test_tf32_is_refused_on_a_cpu():
    if jax.default_backend() != "cpu":
        pytest.skip("not a CPU")
    with pytest.raises(InputError, match="precision: found 'tf32', which a CPU does not have"):
        computing_in(ComputeConfig(precision="tf32"))


@pytest.mark.parametrize("system", ["fast gru", pytest.param("dws", marks=pytest.mark.thorough)])
def test_bfloat16_trains(system):
    """The loss falls about as far as in float32; without dropout, whose noise would hide that."""
    base = override(SYSTEMS[system], {"training.learning_rate": 3e-3})
    base = override(base, {"masker.dropout": 0.0}) if system == "dws" else base

    def losses(precision):
        config = override(base, {"compute.precision": precision})
        step, state, found = jax.jit(make_train_step(config)), init_state(config), []
        for _ in range(15):
            state, metrics = step(state, batch(config))
            found.append(float(metrics["loss"]))
        return found

    low, exact = losses("bfloat16"), losses("float32")
    assert low[0] == pytest.approx(exact[0], rel=0.02)
    assert low[-1] < 0.8 * low[0]
    assert low[-1] == pytest.approx(exact[-1], rel=0.2)


@pytest.mark.parametrize(
    "system", [name if name == "dws" else pytest.param(name, marks=pytest.mark.thorough) for name in SYSTEMS]
)
def test_remat_changes_no_gradient(system, float64):
    config = SYSTEMS[system]
    state = tame_state(init_state(config), "float64")
    both = jax.tree.map(lambda array: array.astype("float64"), batch(config))

    def gradient(remat):
        return jax.jit(make_gradient(override(config, {"compute.remat": remat})))(state, both)

    found, expected = gradient(True), gradient(False)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected.params))
    assert largest > 0
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(found.params), jax.tree.leaves(expected.params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * largest, err_msg=jax.tree_util.keystr(path))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), found.batch_stats, expected.batch_stats)


def test_a_batch_is_whole_outside_of_any_axis():
    assert not is_shared()


def program_text(program, config):
    """The StableHLO of what runs outside of a training."""
    variables = jax.eval_shape(lambda: init_state(config).variables)
    if program == "export":
        return export_forward(config, variables).mlir_module()
    if program == "validation":
        function, arguments = functools.partial(losses._summed_losses, config.model, config.loss), (batch(config), 1)
    else:
        options = {"sequences_per_block": 2, "each_channel": False}
        function = functools.partial(separation._separate_block, config, **options)
        arguments = (magnitudes(1, 400), np.int32(0), np.int32(0), np.float32(1))
    return jax.jit(function).lower(variables, *arguments).as_text()


@pytest.mark.parametrize("target", ["gpu", "tpu"])
@pytest.mark.parametrize("program", ["separation", "validation", "export"])
def test_float32_means_float32_on_accelerators_outside_of_trainings_too(program, target):
    """JAX's own default is tf32 or bfloat16 there. On a CPU nothing is asked of it, so that its programs stay."""
    for chosen, is_exact in ((target, True), ("cpu", False)):
        config = override(SYSTEMS["gru"], {"compute.target": chosen, "compute.precision": "bfloat16"})
        products = re.findall(r"stablehlo\.dot_general.*", program_text(program, config))
        assert len(products) > 3
        assert all(("HIGHEST" in product) == is_exact for product in products)
