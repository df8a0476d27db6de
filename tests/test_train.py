"""Training. Oracles: the order of events written out, equality bit for bit, and a loss that falls."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DWS, GRU, assert_close, magnitudes

from madsep_jax.checkpoint.folder import restore_state, save_checkpoint
from madsep_jax.models import build_model
from madsep_jax.train.batch import Batch, zero_batch
from madsep_jax.train.losses import loss_parts
from madsep_jax.train.optimizer import make_optimizer
from madsep_jax.train.running import NonFiniteLossError, fit
from madsep_jax.train.step import compile_train_step, init_state


class Recorder:
    """Stands in for a step: the state is its number, and what happens is written down."""

    @dataclasses.dataclass
    class State:
        step: int

    def __init__(self, bad_step=None, done=0):
        self.events, self.bad_step, self.start = [], bad_step, self.State(done)

    def step(self, state, batch):
        state = self.State(state.step + 1)
        self.events.append(f"run {state.step} on {batch}")
        return state, {"loss": np.float32(np.nan if state.step == self.bad_step else state.step), "other": np.ones(())}

    def fit(self, batches, due=()):
        return fit(
            self.start,
            self.step,
            batches,
            on_step=lambda step, values: self.events.append((step, values)),
            save_due=lambda step: step in due,
            save=lambda state: self.events.append(f"save {state.step}"),
        )


def reported(step):
    return step, {"loss": float(step), "other": 1.0}


def test_each_step_is_reported_while_the_next_runs():
    recorder = Recorder()
    assert recorder.fit("abc").step == 3
    assert recorder.events == [
        "run 1 on a",
        "run 2 on b",
        reported(1),
        "run 3 on c",
        reported(2),
        reported(3),
    ]


def test_one_step():
    recorder = Recorder()
    assert recorder.fit("a").step == 1
    assert recorder.events == ["run 1 on a", reported(1)]


def test_no_batch():
    recorder = Recorder()
    assert recorder.fit("").step == 0
    assert recorder.events == []


def test_all_steps_are_reported_before_a_save():
    recorder = Recorder(done=4)
    recorder.fit("abc", due={6, 7})
    assert recorder.events == [
        "run 5 on a",
        "run 6 on b",
        reported(5),
        reported(6),
        "save 6",
        "run 7 on c",
        reported(7),
        "save 7",
    ]


@pytest.mark.parametrize("due", [(), (3,), (4,)])
def test_non_finite_loss_names_its_step_and_saves_nothing(due):
    recorder = Recorder(bad_step=3)
    with pytest.raises(NonFiniteLossError, match=r"^loss is nan at step 3$") as caught:
        recorder.fit("abcd", due={2, *due})
    assert caught.value.step == 3
    assert [event for event in recorder.events if "run" not in event] == [reported(1), reported(2), "save 2"]


def test_non_finite_loss_of_the_last_step():
    with pytest.raises(NonFiniteLossError, match="at step 2"):
        Recorder(bad_step=2).fit("ab")


# The real step, compiled once for each masker.


@functools.cache
def system(kind):
    run = {"gru": GRU, "dws": DWS}[kind]
    state = init_state(run)
    step, seconds = compile_train_step(run, state)
    assert seconds > 0
    return run, step, state


@pytest.fixture(params=["gru", "dws"])
def compiled(request):
    return system(request.param)


def copied(state):
    """The step takes its state's buffers."""
    return jax.tree.map(jnp.copy, state)


def batch(number, run=GRU):
    size, sequences, bins = run.training.batch_size, run.sequences, run.signal.bins
    mix_BSF = magnitudes(size, sequences.frames, bins, seed=number)
    middle = slice(sequences.context, sequences.context + sequences.target_frames)
    return Batch(mix_BSF, mix_BSF[:, middle] * (np.arange(bins) % 2).astype(np.float32))


def run_steps(step, state, numbers):
    reports = []
    state = fit(copied(state), step, [batch(number) for number in numbers], lambda *report: reports.append(report))
    return state, reports


def assert_same(found, expected):
    """Bit for bit, in structure and dtype too; but for the last gradient, which nothing reads."""
    found, expected = (
        dataclasses.replace(state, dropout_key=jax.random.key_data(state.dropout_key), gradient=None)
        for state in (found, expected)
    )
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_loss_falls(compiled):
    _, step, state = compiled
    reports = run_steps(step, state, [0] * 40)[1]
    assert [number for number, _ in reports] == list(range(1, 41))
    assert reports[-1][1]["loss"] < 0.7 * reports[0][1]["loss"]


def test_loss_is_the_sum_of_its_parts(compiled):
    values = run_steps(compiled[1], compiled[2], [0])[1][0][1]
    parts = set(values) - {"loss", "gradient_norm", "learning_rate"}
    assert parts == {"masker", "denoiser", "masker_diagonal_l1", "denoiser_l2"}
    assert values["loss"] == pytest.approx(sum(values[part] for part in parts), rel=1e-6)


def test_training_is_deterministic(compiled):
    _, step, state = compiled
    (first, first_reports), (second, second_reports) = (run_steps(step, state, range(3)) for _ in range(2))
    assert_same(first, second)
    assert first_reports == second_reports
    assert first.step == 3


def test_resumed_training_is_the_uninterrupted_one(compiled, tmp_path):
    run, step, state = compiled
    uninterrupted, _ = run_steps(step, state, range(5))
    interrupted, _ = run_steps(step, state, range(2))
    save_checkpoint(tmp_path, run, interrupted)
    restored = restore_state(tmp_path, state)
    assert_same(restored, interrupted)
    resumed, reports = run_steps(step, restored, range(2, 5))
    assert [number for number, _ in reports] == [3, 4, 5]
    assert_same(resumed, uninterrupted)


def test_nan_in_a_batch_stops_the_training(compiled):
    _, step, state = compiled
    bad = Batch(*(array.copy() for array in batch(1)))
    bad.mix_BSF[0, 3, 0] = np.nan
    with pytest.raises(NonFiniteLossError, match="loss is nan at step 2"):
        fit(copied(state), step, [batch(0), bad, batch(2)], lambda *report: None)


def test_dropout_differs_by_step_and_key(compiled):
    """For the DWS masker; the GRU masker has no dropout, so that only the data counts."""
    run, step, state = compiled

    def loss(state):
        return float(step(copied(state), batch(0))[1]["loss"])

    others = [
        dataclasses.replace(state, step=state.step + 1),
        dataclasses.replace(state, dropout_key=jax.random.key(99)),
    ]
    for other in others:
        assert (loss(state) == loss(other)) == (run.masker.kind == "gru")


def test_the_state_is_donated(compiled):
    _, step, state = compiled
    given = copied(state)
    step(given, batch(0))
    assert jax.tree.leaves(given.params)[0].is_deleted()


def test_the_gradient_is_written_over_the_last_one(compiled):
    _, step, state = compiled
    given = copied(state)
    before = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(given.gradient)}
    after, _ = step(given, batch(0))
    assert before == {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(after.gradient)}


def test_silence_has_a_finite_loss_and_gradient(compiled):
    run, step, state = compiled
    metrics = step(copied(state), zero_batch(run))[1]
    assert all(np.isfinite(value) for value in metrics.values())


def test_first_step_is_clipped_gradient_then_adam():
    """Eq. 11's gradient by itself, in the step's own terms: norm, clip at 0.5, Adam's first step of about the rate."""
    run, step, state = system("gru")
    given = batch(0)

    def loss_of(params):
        model = build_model(run.model)
        separation = model.apply({"params": params}, given.mix_BSF, train=True)
        return sum(loss_parts(separation, given.voice_BTF, model.output_kernels(params), run.loss).values())

    gradient = jax.jit(jax.grad(loss_of))(state.params)
    norm = np.sqrt(sum(np.square(leaf, dtype=np.float64).sum() for leaf in jax.tree.leaves(gradient)))
    new, metrics = step(copied(state), given)
    assert_close(metrics["gradient_norm"], norm, 1e-5)
    assert norm > run.training.gradient_clip
    for after, before, slope in zip(*map(jax.tree.leaves, (new.params, state.params, gradient)), strict=True):
        clipped = np.asarray(slope, np.float64) * run.training.gradient_clip / norm
        expected = before - run.training.learning_rate * clipped / (np.abs(clipped) + run.training.adam_epsilon)
        np.testing.assert_allclose(after, expected, atol=2e-3 * run.training.learning_rate)


def test_initial_state_is_a_pure_function_of_the_seed():
    run, _, state = system("gru")
    assert_same(init_state(run), state)
    other = init_state(dataclasses.replace(run, training=dataclasses.replace(run.training, seed=1)))
    kernels = [s.params["denoiser"]["decoder"]["kernel"] for s in (state, other)]
    assert (np.asarray(kernels[0]) != np.asarray(kernels[1])).all()


def test_optimizer_clips_the_global_norm():
    optimizer = make_optimizer(dataclasses.replace(GRU.training, gradient_clip=1.0, adam_b1=0.0, adam_epsilon=1.0))
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    updates, _ = optimizer.update({"a": jnp.asarray([2.0, 3.0]), "b": jnp.asarray([6.0])}, optimizer.init(params))
    clipped = np.asarray([2 / 7, 3 / 7, 6 / 7])  # of norm 7
    expected = -GRU.training.learning_rate * clipped / (clipped + 1)
    np.testing.assert_allclose(np.concatenate([updates["a"], updates["b"]]), expected, rtol=1e-5)
