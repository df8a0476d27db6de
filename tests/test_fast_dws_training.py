"""Whole DWS systems by their fast forms. Oracle: the plain forms, two train steps and an evaluation, float64, 1e-10."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_dws import assert_equal_trees
from tiny import DWS, assert_close, enable_float64, magnitudes

import madsep_jax.ops.dws.form
from madsep_jax import ComputeConfig, DwsMaskerConfig, TrainingConfig, build_model
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state, make_train_step

VARIANTS = {
    "published": {},
    "residual, dilations in turn, middle frames": {"residual": True, "dilations": (1, 2), "input_frames": "middle"},
    "larger channel-wise kernel, no dropout": {"pointwise_kernel": 3, "dropout": 0.0},
    "no encoder blocks": {"layers": 0},
    "no dropout": {"dropout": 0.0},
}
CASES = [(name, "scanned") for name in list(VARIANTS)[:1]]
FURTHER = [(name, "scanned") for name in list(VARIANTS)[1:]] + [("published", "unrolled")]
CASES += [pytest.param(*case, marks=pytest.mark.thorough) for case in FURTHER]
OPERATIONS = "plain", "fast"


def configured(name, blocks="scanned", operations="plain", target="auto"):
    """A run of few channels.

    Adam's epsilon is 0.1: with its default of 1e-8 a first step is about the gradient's sign, so that the rounding of
    a gradient that is 0 (that of a channel whose ReLU is closed) would decide a whole step.
    """
    masker = DwsMaskerConfig(**{"layers": 2, "channels": 6, "kernel": 3, "dropout": 0.1} | VARIANTS[name])
    return dataclasses.replace(
        DWS,
        masker=masker,
        training=TrainingConfig(batch_size=2, learning_rate=1e-2, adam_epsilon=0.1),
        compute=ComputeConfig(operations=operations, blocks=blocks, target=target),
    )


def double(tree):
    return jax.tree.map(lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf, tree)


@pytest.mark.parametrize(("name", "blocks"), CASES)
def test_two_train_steps_and_an_evaluation(name, blocks):
    """Loss and its parts, gradient's norm, parameters, running statistics and Adam's moments; then the outputs."""
    start, expected = reference(name)
    with enable_float64():
        moved = jax.tree.map(lambda after, before: np.any(after != before), expected[1], start.params)
        assert all(jax.tree.leaves(moved))
        assert_equal_trees(outcome(start, configured(name, blocks, "fast")), expected)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "blocks"), CASES)
def test_the_form_for_gpus(name, blocks):
    """As above; and after five steps 1e-8, as differences in rounding grow from step to step."""
    for steps, tolerance in ((2, 1e-10), (5, 1e-8)):
        start, expected = reference(name, steps)
        with enable_float64():
            found = outcome(start, configured(name, blocks, "fast", "gpu"), steps)
            jax.tree.map(functools.partial(assert_close, tolerance=tolerance), found, expected)


@functools.cache
def reference(name, steps=2):
    """A state to start from, and what the plain forms make of it."""
    single = with_signs(init_state(configured(name)))
    with enable_float64():
        start = double(single)
        return start, outcome(start, configured(name), steps)


def outcome(state, config, steps=2):
    mix_BSF = jnp.asarray(magnitudes(2, DWS.sequences.frames, DWS.signal.bins), np.float64)
    voice_BTF = 0.3 * mix_BSF[:, DWS.sequences.context : -DWS.sequences.context] ** 2
    step, seen = jax.jit(make_train_step(config)), []
    for _ in range(steps):
        state, metrics = step(state, Batch(mix_BSF, voice_BTF))
        seen.append(metrics)
    evaluated = jax.jit(build_model(config.model).apply)(state.variables, mix_BSF)
    return seen, state.params, state.batch_stats, state.opt_state, evaluated


def with_signs(state):
    """Make every third scale of the outer BatchNorms negative, as training may."""

    def turned(path, leaf):
        if path[-1].key != "outer_norm_scale":
            return leaf
        return leaf * np.where(np.arange(leaf.shape[-1]) % 3 == 2, -1, 1)

    return dataclasses.replace(state, params=jax.tree_util.tree_map_with_path(turned, state.params))


@pytest.mark.parametrize("train", [False, True])
def test_both_forms_initialise_under_double_precision(train, float64):
    """Oracle: shapes and dtypes of the plain form, in `init` and in `apply` on what it returns."""
    mag_BSF = np.ones((1, DWS.sequences.frames, DWS.signal.bins), np.float32)

    def shapes(operations):
        model, rngs = build_model(configured("published", operations=operations).model), {"dropout": jax.random.key(0)}
        variables = jax.eval_shape(model.init, jax.random.key(0), mag_BSF)
        apply = functools.partial(model.apply, train=train, rngs=rngs, mutable=["batch_stats"])
        return variables, jax.eval_shape(apply, variables, mag_BSF)

    plain, fast = (shapes(operations) for operations in OPERATIONS)
    assert fast == plain


def test_the_configuration_chooses(monkeypatch):
    """Oracle: which blocks of a system the fast forms compute: all, none, or all but those of larger kernels."""
    chosen = []
    monkeypatch.setattr("madsep_jax.ops.dws.form.goes_whole", lambda values: False)

    def spy(name):
        function = getattr(madsep_jax.ops.dws.form, name)
        monkeypatch.setattr(
            f"madsep_jax.ops.dws.form.{name}", lambda *given, **form: chosen.append(name) or function(*given, **form)
        )

    for name in ("dws_block", "dws_blocks", "fast_first_block", "fast_dws_block", "fast_dws_blocks"):
        spy(name)
    mag_BSF = np.zeros((1, DWS.sequences.frames, DWS.signal.bins), np.float32)

    def blocks(name, operations):
        chosen.clear()
        model, rngs = build_model(configured(name, operations=operations).model), {"dropout": jax.random.key(0)}
        variables = jax.eval_shape(model.init, jax.random.key(0), mag_BSF)
        jax.eval_shape(
            lambda *given: model.apply(*given, train=True, mutable=["batch_stats"], rngs=rngs), variables, mag_BSF
        )
        return chosen[-4:]

    plain, fast = ["dws_block", "dws_blocks", "dws_block", "dws_block"], ["fast_first_block", "fast_dws_blocks"]
    assert blocks("published", "plain") == plain
    assert blocks("published", "fast") == [*fast, "fast_dws_block", "fast_dws_block"]
    assert blocks("larger channel-wise kernel, no dropout", "fast") == [
        "fast_first_block",
        "dws_blocks",
        "fast_dws_block",
        "fast_dws_block",
    ]
