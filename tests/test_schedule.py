"""The learning rate. Oracles: the formulas written out, optax's own optimiser; 1e-12 in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tame_state import tame_state
from tiny import GRU, enable_float64, magnitudes

from madsep_jax import TrainingConfig
from madsep_jax.checkpoint.folder import restore_state, save_checkpoint
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.config.training import ScheduleConfig
from madsep_jax.errors import InputError
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.program import Program
from madsep_jax.train.batch import Batch
from madsep_jax.train.optimizer import fused_update, learning_rate, make_optimizer, optax_update, with_schedule_steps
from madsep_jax.train.running import Running
from madsep_jax.train.step import init_state, make_train_step

LARGEST = 1e-2
SCHEDULES = {
    "warm constant": ScheduleConfig(warmup_steps=3),
    "cosine": ScheduleConfig(kind="cosine", steps=10),
    "warm cosine": ScheduleConfig(kind="cosine", warmup_steps=4, final_learning_rate=1e-3, steps=12),
    "exponential": ScheduleConfig(kind="exponential", warmup_steps=2, final_learning_rate=1e-4, steps=9),
    "step": ScheduleConfig(kind="step", warmup_steps=1, step_every=3, step_factor=0.5, final_learning_rate=4e-3),
}


def training(schedule, **more):
    return TrainingConfig(learning_rate=LARGEST, schedule=schedule, **more)


def rate_of(schedule, step, largest=LARGEST):
    """The rate after `step` steps, by the definitions."""
    warmup, last = schedule.warmup_steps, schedule.final_learning_rate
    if step < warmup:
        return largest * (step + 1) / (warmup + 1)
    since = step - warmup
    if schedule.kind == "constant":
        return largest
    if schedule.kind == "step":
        return max(largest * schedule.step_factor ** (since // schedule.step_every), last)
    share = min(since / (schedule.steps - warmup), 1)
    if schedule.kind == "cosine":
        return last + (largest - last) * (1 + np.cos(np.pi * share)) / 2
    return largest * (last / largest) ** share


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_the_formulas(float64, name):
    schedule = SCHEDULES[name]
    found = [float(learning_rate(training(schedule))(jnp.asarray(step))) for step in range(20)]
    np.testing.assert_allclose(found, [rate_of(schedule, step) for step in range(20)], rtol=1e-12)


@given(
    kind=st.sampled_from(["constant", "cosine", "exponential", "step"]),
    warmup=st.integers(0, 6),
    steps=st.integers(7, 30),
    share=st.floats(0.01, 1),
    every=st.integers(1, 9),
)
def test_any_schedule_rises_in_the_warm_up_and_never_again(kind, warmup, steps, share, every):
    last = 0.0 if kind == "constant" else share * LARGEST
    schedule = ScheduleConfig(
        kind=kind, warmup_steps=warmup, steps=steps, final_learning_rate=last, step_every=every, step_factor=share
    )
    with enable_float64():
        rate = learning_rate(training(schedule))
        found = np.asarray([rate(jnp.asarray(step)) if callable(rate) else rate for step in range(steps + 5)])
    assert (np.diff(found[: warmup + 1]) > 0).all()
    assert (np.diff(found[warmup:]) <= 1e-15).all()
    assert found[warmup] == pytest.approx(LARGEST)
    assert found.min() > 0
    if kind in ("cosine", "exponential"):
        np.testing.assert_allclose(found[steps:], last, rtol=1e-9)


def tree(seed):
    random = np.random.default_rng(seed)
    return {"kernel": jnp.asarray(random.normal(size=(3, 4))), "bias": jnp.asarray(random.normal(size=4))}


@pytest.mark.parametrize("name", SCHEDULES)
def test_both_forms_of_the_optimiser_are_optax(float64, name):
    """Parameters and state, over more steps than the schedule has; optax's Adam is given the formulas' rates."""
    config = training(SCHEDULES[name])
    rates = jnp.asarray([rate_of(config.schedule, step) for step in range(14)])
    oracle = optax.chain(
        optax.clip_by_global_norm(config.gradient_clip), optax.adam(lambda count: rates[count], 0.9, 0.999, 1e-8)
    )
    ends = []
    for update in (fused_update(config), optax_update(make_optimizer(config)), optax_update(oracle)):
        params, opt_state = tree(0), make_optimizer(config).init(tree(0))
        for step in range(14):
            params, opt_state, _ = jax.jit(update)(tree(step + 1), opt_state, params)
        ends.append((params, opt_state))
    for other in ends[1:]:
        assert jax.tree.structure(other) == jax.tree.structure(ends[0])
        for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(ends[0]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def of_form(form, schedule="warm cosine", seed=0):
    config = dataclasses.replace(GRU, compute=ComputeConfig(operations=form))
    fields = {"learning_rate": LARGEST, "schedule": SCHEDULES[schedule], "seed": seed}
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **fields))


def batch(step):
    mix_BSF = magnitudes(2, GRU.sequences.frames, GRU.signal.bins, seed=step).astype(np.float64)
    return Batch(mix_BSF, 0.3 * mix_BSF[:, 2:-2])


@pytest.mark.parametrize("form", ["fast", pytest.param("plain", marks=pytest.mark.thorough)])
def test_a_resumed_training_goes_on_with_its_rate(float64, form, tmp_path):
    """The rate that is logged is the formula's, before and after a checkpoint."""
    config = of_form(form)
    step = jax.jit(make_train_step(config))
    state, seen = tame_state(init_state(config), "float64"), []
    for number in range(4):
        if number == 2:
            save_checkpoint(tmp_path, config, state)
            state = restore_state(tmp_path, tame_state(init_state(config), "float64"))
        state, metrics = step(state, batch(number))
        seen.append(float(metrics["learning_rate"]))
    np.testing.assert_allclose(seen, [rate_of(config.training.schedule, number) for number in range(4)], rtol=1e-12)


def test_several_steps_a_call_and_seeds_together_have_each_step_s_rate(float64):
    configs = [of_form("fast", seed=seed) for seed in range(2)]
    program = Program(steps=2, seeds=2)
    layout = make_layout(configs[0], ParallelConfig(devices=1, steps_per_call=2), program)
    groups = [layout.place_batch(group) for group in program.join_batches([[batch(step) for step in range(4)]] * 2)]
    state = layout.place_state(program.join_states([tame_state(init_state(config), "float64") for config in configs]))
    call, _ = compile_layout(layout, state, groups[0])
    run = Running(state, call, seeds=2)
    for group in groups:
        run.advance(group)
    seen = [
        (step, values) for steps, by_step in run.reports(keep=0) for step, values in zip(steps, by_step, strict=True)
    ]
    assert len(seen) == 4
    for number, (step, values) in enumerate(seen):
        assert step == number + 1
        for of_seed in values:
            assert of_seed["learning_rate"] == pytest.approx(rate_of(SCHEDULES["warm cosine"], number), rel=1e-12)


def test_a_constant_rate_is_logged_too():
    _, metrics = jax.jit(make_train_step(GRU))(init_state(GRU), Batch(*(np.float32(part) for part in batch(0))))
    assert metrics["learning_rate"] == np.float32(GRU.training.learning_rate)


def test_the_length_of_the_training_is_needed_where_it_counts():
    cosine = ScheduleConfig(kind="cosine", warmup_steps=2)
    with pytest.raises(InputError, match=r"ScheduleConfig.steps: found None, expected the steps of the training"):
        learning_rate(training(cosine))
    with pytest.raises(InputError, match=r"ScheduleConfig.warmup_steps: found 2, expected less than the training's 2"):
        learning_rate(training(cosine, steps=2))
    run = override(GRU, {"training.schedule": {"kind": "cosine"}})
    assert with_schedule_steps(run, 30).training.schedule.steps == 30
    assert with_schedule_steps(with_schedule_steps(run, 30), 40).training.schedule.steps == 30
    assert with_schedule_steps(GRU, 30) == GRU


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "linear"}, "ScheduleConfig.kind: found 'linear', expected 'constant', 'cosine'"),
        ({"warmup_steps": -1}, "warmup_steps: found -1, expected 0 or more"),
        ({"kind": "exponential"}, "final_learning_rate: found 0.0, expected more than 0"),
        ({"final_learning_rate": 1e-5}, "final_learning_rate: found 1e-05, expected 0 for a constant learning rate"),
        ({"kind": "cosine", "final_learning_rate": float("nan")}, "final_learning_rate: found nan"),
        ({"kind": "cosine", "warmup_steps": 5, "steps": 5}, "steps: found 5, expected more than the 5 of the warm-up"),
        ({"kind": "step", "step_every": 0}, "step_every: found 0"),
        ({"kind": "step", "step_factor": 1.5}, "step_factor: found 1.5, expected more than 0, at most 1"),
    ],
)
def test_bad_schedules_are_named(fields, message):
    with pytest.raises(InputError) as caught:
        ScheduleConfig(**fields)
    assert message in str(caught.value)


def test_the_last_rate_is_not_above_the_largest():
    with pytest.raises(InputError, match=r"TrainingConfig.learning_rate: found 0.01, expected at least .* \(0.1\)"):
        training(ScheduleConfig(kind="cosine", final_learning_rate=0.1))
