"""What was exported and read back equals the model itself: the same StableHLO, so the same numbers."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny
from jax import export

from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config
from madsep_jax.config.systems import fields_of, named_systems
from madsep_jax.export import export_forward, export_train_step, train_step_of
from madsep_jax.models import Separation, build_model
from madsep_jax.models.variables import variable_shapes, without_training_parts
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state, make_train_step

F = tiny.SIGNAL.bins
S, T = tiny.SEQUENCES.frames, tiny.SEQUENCES.target_frames
TWIN = override(tiny.GRU, {"masker.twin": True})


@pytest.fixture(scope="module", params=["mad", "dws"])
def separator(request):
    """A config, its variables, and its program, which was bytes meanwhile."""
    config = {"mad": TWIN, "dws": tiny.DWS}[request.param]
    variables = init_state(config).variables
    return config, variables, export.deserialize(export_forward(config, variables).serialize())


def assert_equal_trees(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_an_exported_separator_equals_its_model_at_every_batch_size(separator):
    """By what inference needs alone: the program knows nothing of a twin."""
    config, variables, program = separator
    apply = jax.jit(functools.partial(build_model(config.model).apply, train=False))
    for batch in (1, 3):
        mag_BSF = tiny.magnitudes(batch, S, F)
        expected = apply(variables, mag_BSF)
        found = program.call(without_training_parts(config.masker, variables), mag_BSF)
        assert_equal_trees(Separation(**{"masker_BTF": None, **found}), expected)


def test_a_separator_refuses_other_lengths(separator):
    config, variables, program = separator
    with pytest.raises(ValueError, match=str(S)):
        program.call(without_training_parts(config.masker, variables), tiny.magnitudes(1, S + 1, F))


@pytest.mark.parametrize("system", [*named_systems(), "dws-2-8", "dws-2-8-res-k3", "dws-4-8-dilated"])
def test_every_system_can_be_exported_for_any_batch_size(system):
    base = override(preset_config("paper"), {"signal": tiny.SIGNAL, "sequences": tiny.SEQUENCES})
    config = override(base, fields_of(system, base))
    (mask,) = {str(aval.shape) for aval in export_forward(config, variable_shapes(config.model)).out_avals if aval.ndim}
    assert mask.startswith("(batch, ")


@pytest.mark.parametrize(
    "config", [pytest.param(tiny.GRU, id="mad"), pytest.param(tiny.DWS, id="dws", marks=pytest.mark.thorough)]
)
def test_an_exported_train_step_equals_the_step(config):
    """Dropout and running statistics included; two steps, so that the state goes in and out."""
    program = export.deserialize(export_train_step(config, jax.eval_shape(lambda: init_state(config))).serialize())
    batch = Batch(tiny.magnitudes(2, S, F), tiny.magnitudes(2, T, F, seed=1))
    found, expected = init_state(config), init_state(config)
    step, exported = jax.jit(make_train_step(config)), jax.jit(train_step_of(program))
    for _ in range(2):
        expected, expected_metrics = step(expected, batch)
        found, metrics = exported(found, batch)
        assert_equal_trees(metrics, expected_metrics)
    assert found.dropout_key == expected.dropout_key
    for field in dataclasses.fields(found):
        if field.name != "dropout_key":
            assert_equal_trees(getattr(found, field.name), getattr(expected, field.name))
