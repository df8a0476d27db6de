"""bfloat16 between float32 parameters, statistics and loss; and gradients for which blocks are computed again."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DWS, GRU, magnitudes

from madsep_jax import DilatedConfig
from madsep_jax.config_io import override
from madsep_jax.errors import InputError
from madsep_jax.ops.shared_batch import is_shared
from madsep_jax.train import Batch, init_state, make_train_step

PLAIN = {"compute.operations": "plain"}
SYSTEMS = {
    "dws": override(DWS, PLAIN),
    "gru": override(GRU, PLAIN),
    "fast gru": override(GRU, {"compute.operations": "fast"}),
    "dilated": dataclasses.replace(GRU, masker=DilatedConfig(role="system", blocks=2, channels=8, groups=2)),
}


def batch(config):
    mix_BSF = magnitudes(config.training.batch_size, config.sequences.frames, config.signal.bins)
    return Batch(mix_BSF, 0.5 * mix_BSF[:, config.sequences.context : -config.sequences.context])


def one_step(config):
    return jax.jit(make_train_step(config))(init_state(config), batch(config))


@pytest.mark.parametrize("system", ["dws", "gru", "dilated"])
def test_bfloat16_keeps_state_and_loss_in_float32(system):
    config = SYSTEMS[system]
    low = override(config, {"compute.precision": "bfloat16"})
    state, metrics = one_step(low)
    for leaf in jax.tree.leaves((state.params, state.batch_stats, state.opt_state, metrics)):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    _, expected = one_step(config)
    assert float(metrics["loss"]) == pytest.approx(float(expected["loss"]), rel=0.05)
    assert float(metrics["loss"]) != float(expected["loss"])
    text = str(jax.make_jaxpr(make_train_step(low))(init_state(low), batch(low)))
    assert "bf16" in text
    assert "bf16" not in str(jax.make_jaxpr(make_train_step(config))(init_state(config), batch(config)))


def test_tf32_is_refused_on_a_cpu():
    if jax.default_backend() != "cpu":
        pytest.skip("not a CPU")
    with pytest.raises(InputError, match="precision: found 'tf32', which a CPU does not have"):
        one_step(override(DWS, {"compute.precision": "tf32"}))


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_remat_changes_no_result(system):
    """Up to rounding: the gradient's norm tells of all parameters."""
    config = SYSTEMS[system]
    (state, metrics), (expected, expected_metrics) = (
        one_step(override(config, {"compute.remat": True})),
        one_step(config),
    )
    for name, value in expected_metrics.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-4), name
    assert jax.tree.structure(state.params) == jax.tree.structure(expected.params)


def test_remat_takes_less_memory():
    """Of six blocks, the plain form keeps all that lies between; computed again, their inputs."""
    deep = override(SYSTEMS["dws"], {"masker.layers": 6, "training.batch_size": 8, "compute.blocks": "unrolled"})

    def temporary_bytes(config):
        lowered = jax.jit(make_train_step(config)).lower(init_state(config), batch(config))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(override(deep, {"compute.remat": True})) < 0.8 * temporary_bytes(deep)


def test_a_batch_is_whole_outside_of_any_axis():
    assert not is_shared()
    assert np.isfinite(float(one_step(DWS)[1]["loss"]))
