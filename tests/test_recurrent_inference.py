"""Recurrent inference. Oracle: the published implementation's numbers, under `reference/`, to 1e-6 in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import GRU, assert_close, reference, under

from madsep_jax import GruMaskerConfig, build_model
from madsep_jax.config.systems import masker_of
from madsep_jax.interop import from_torch
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.models.gru import Gru
from madsep_jax.models.gru_masker import refine
from madsep_jax.models.variables import variable_shapes
from madsep_jax.signal.framing import middle_frames
from madsep_jax.train.batch import zero_batch
from madsep_jax.train.step import init_state, make_train_step

CASES = ["ris_s", "ris_l", "ris_never"]


@pytest.fixture(scope="module")
def file():
    return reference("mad_twinnet")


def model_and_variables(file, name):
    config, variables = from_torch(under(file, "param/mad."), context_frames=int(file["config/context"]))
    masker = dataclasses.replace(
        config.masker,
        recurrent_iterations=int(file[f"{name}/max_iter"]),
        recurrent_tolerance=float(file[f"{name}/tol"]),
    )
    return build_model(dataclasses.replace(config, masker=masker)), jax.tree.map(jnp.asarray, variables)


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", CASES)
def test_reference(file, name, train, float64):
    model, variables = model_and_variables(file, name)

    @jax.jit
    def run(variables, mag_BSF):
        states = model.apply(variables, mag_BSF, train, method=lambda m, mag, t: m.masker.mask_and_states(mag, t))
        return model.apply(variables, mag_BSF, train=train), states

    out, states = run(variables, jnp.asarray(file["input"]))
    assert int(out.decoder_calls) == int(states.decoder_calls) == int(file[f"{name}/decoder_calls"])
    assert_close(states.decoded_BTH, file[f"{name}/h_dec"], 1e-6)
    assert_close(out.voice_BTF, file[f"{name}/v_j_filt"], 1e-6)


def count_decodes(differentiable, iterations, tolerance, factor=0.1):
    """Refine 1 by a decoder that shrinks its input, and count, on the host, how often it really ran."""
    ran = []

    def decode(state_BTH):
        jax.debug.callback(lambda: ran.append(1))
        return state_BTH * factor

    refined = jax.jit(lambda s: refine(decode, s, iterations, tolerance, differentiable))(jnp.ones((1, 2, 3)))
    jax.block_until_ready(refined)
    jax.effects_barrier()
    return refined, len(ran)


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize(
    ("iterations", "tolerance", "expected"),
    # squared changes: 0.81, 0.0081, 0.000081, …
    [(5, 1.0, 1), (5, 0.5, 2), (5, 1e-3, 3), (5, 0.0, 5), (1, 0.0, 1), (2, 1e-3, 2)],
)
def test_it_really_stops(differentiable, iterations, tolerance, expected):
    """The decoder runs as often as is reported (S_0 is given here), not as often as it might."""
    refined, ran = count_decodes(differentiable, iterations, tolerance)
    assert ran == expected == int(refined.decoder_calls) - 1
    np.testing.assert_allclose(refined.state_BTH, 0.1**expected, rtol=1e-6)


def test_the_end_is_below_the_tolerance_not_at_it():
    """A change of exactly τ goes on: 1 → 0 changes by 1."""
    assert count_decodes(False, 3, 1.0, factor=0.0)[1] == 2


def test_the_change_is_that_of_the_whole_batch():
    """A sequence that would have ended alone goes on with one that changes much."""
    calm, wild = jnp.full((1, 2, 3), 1e-3), jnp.ones((1, 2, 3))

    def state_of_calm(batch):
        return refine(lambda state: state * 0.5, batch, 4, 1e-3).state_BTH[0, 0, 0]

    assert_close(state_of_calm(calm), 5e-4, 1e-6)
    assert_close(state_of_calm(jnp.concatenate([calm, wild])), 6.25e-5, 1e-6)


def test_gradient_is_that_of_the_steps_written_out(file, float64):
    """Of every parameter of the masker, to 1e-9."""
    model, variables = model_and_variables(file, "ris_s")
    mag_BSF = jnp.asarray(file["input"])

    def energy(params):
        return jnp.sum(jnp.square(model.apply({"params": params}, mag_BSF, train=True).voice_BTF))

    def energy_by_hand(params):
        plain = dataclasses.replace(model.masker.config, recurrent_iterations=0)
        masker = model.masker.clone(config=plain, parent=None)
        states = masker.apply({"params": params["masker"]}, mag_BSF, method="mask_and_states")
        decoded = states.decoded_BTH
        for _ in range(int(file["ris_s/decoder_calls"]) - 1):
            decoded = Gru(decoded.shape[-1]).apply({"params": params["masker"]["decoder"]}, decoded)
        layer = params["masker"]["mask_layer"]
        filtered = middle_frames(mag_BSF, model.context_frames) * jax.nn.relu(decoded @ layer["kernel"] + layer["bias"])
        mask = model.denoiser.clone(parent=None).apply({"params": params["denoiser"]}, filtered)
        return jnp.sum(jnp.square(filtered * mask))

    found, expected = (jax.jit(jax.grad(function))(variables["params"]) for function in (energy, energy_by_hand))
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-9), found, expected)


def test_it_has_no_parameters_of_its_own():
    run = dataclasses.replace(GRU, masker=GruMaskerConfig(reduced_bins=9, recurrent_iterations=3))
    assert variable_shapes(run.model) == variable_shapes(GRU.model)


def test_cost_counts_every_iteration():
    """At most `iter` decodings more than without: 2·T·B·(2R·6R + 2R·6R) operations each, and little else."""

    def gflop(iterations):
        masker = GruMaskerConfig(reduced_bins=64, recurrent_iterations=iterations)
        return forward_gflop_per_second(dataclasses.replace(GRU, masker=masker))

    none, three, ten = gflop(0), gflop(3), gflop(10)
    decoder = 2 * (128 * 384 + 128 * 384) * GRU.signal.frames_per_second / 1e9
    assert (three - none) / 3 == pytest.approx(decoder, rel=0.05)
    assert (ten - none) / 10 == pytest.approx((three - none) / 3)


def test_systems():
    """The poster's two settings."""
    found = [masker_of(name) for name in ("mad-ris-s", "mad-ris-l")]
    assert [(m.recurrent_iterations, m.recurrent_tolerance) for m in found] == [(3, 1e-2), (10, 1e-3)]
    assert masker_of("mad-twinnet") == GruMaskerConfig(twin=True)


def test_a_training_step_reports_the_decoder_calls():
    """Without a tolerance all iterations are taken, and the first call; a plain MaD has nothing to report."""
    for iterations in (0, 3):
        run = dataclasses.replace(GRU, masker=dataclasses.replace(GRU.masker, recurrent_iterations=iterations))
        _, metrics = jax.jit(make_train_step(run))(init_state(run), zero_batch(run))
        assert ("decoder_calls" in metrics) == (iterations > 0)
        assert metrics.get("decoder_calls", 4) == 1 + 3
