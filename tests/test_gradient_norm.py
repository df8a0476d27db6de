"""The gradient's norm that is logged. Oracle: optax's norm of jax.grad of the loss, written out; 1e-10 in float64."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from tame_state import tame_state
from tiny import DWS, GRU, magnitudes

from madsep_jax.config.run import ComputeConfig
from madsep_jax.models import build_model
from madsep_jax.train.batch import Batch
from madsep_jax.train.losses import loss_parts
from madsep_jax.train.step import init_state, make_train_step

BASES = {"gru": GRU, "dws": DWS}


def norm_of_the_loss_gradient(config, state, batch):
    def loss_of(params):
        variables = {**state.variables, "params": params}
        rngs = {"dropout": jax.random.fold_in(state.dropout_key, state.step)}
        model = build_model(config.model)
        found, _ = model.apply(variables, batch.mix_BSF, train=True, mutable=["batch_stats"], rngs=rngs)
        return sum(loss_parts(found, batch.voice_BTF, model.output_kernels(params), config.loss).values())

    return optax.tree.norm(jax.jit(jax.grad(loss_of))(state.params))


@pytest.mark.parametrize(
    ("system", "form", "clip"),
    [
        ("gru", "fast", 1e-3),
        ("gru", "fast", 1e6),
        *(pytest.param(*case, 1e-3, marks=pytest.mark.thorough) for case in (("gru", "plain"), ("dws", "fast"))),
    ],
)
def test_both_forms_log_the_norm_before_clipping(float64, system, form, clip):
    """Clipped or not. The oracle's operations are the plain ones."""
    plain = dataclasses.replace(BASES[system], compute=ComputeConfig(operations="plain"))
    plain = dataclasses.replace(plain, training=dataclasses.replace(plain.training, gradient_clip=clip))
    config = dataclasses.replace(plain, compute=ComputeConfig(operations=form))
    state = tame_state(init_state(plain), "float64")
    mix_BSF = magnitudes(2, GRU.sequences.frames, GRU.signal.bins).astype(np.float64)
    batch = Batch(mix_BSF, 0.3 * mix_BSF[:, 2:-2])
    expected = norm_of_the_loss_gradient(plain, state, batch)
    given = dataclasses.replace(state, gradient=None)
    _, metrics = jax.jit(make_train_step(config))(given, batch)
    assert metrics["gradient_norm"] == pytest.approx(float(expected), rel=1e-10)


def test_the_norm_is_computed_once():
    """In the compiled fast step each parameter's gradient is squared and summed once: one square root of a sum."""
    config = dataclasses.replace(GRU, compute=ComputeConfig(operations="fast"))
    state = jax.eval_shape(lambda: init_state(config))
    mix_BSF = jax.ShapeDtypeStruct((2, GRU.sequences.frames, GRU.signal.bins), np.float32)
    voice_BTF = jax.ShapeDtypeStruct((2, GRU.sequences.target_frames, GRU.signal.bins), np.float32)
    jaxpr = jax.make_jaxpr(make_train_step(config))(state, Batch(mix_BSF, voice_BTF))
    scalar_roots = [
        equation
        for equation in jaxpr.eqns
        if equation.primitive.name == "sqrt" and equation.outvars[0].aval.shape == ()
    ]
    assert len(scalar_roots) == 1
