"""A masker that no file of the packages knows: its settings, its module and one line make a whole system.

Oracle: what is computed by hand, or came out before it was saved.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny import SEQUENCES, SIGNAL, assert_close, magnitudes

from experiments.rows.estimate import training_seconds
from experiments.rows.pictures import quality_pictures
from experiments.rows.report import row_table
from experiments.rows.row import PlannedRow, RowResult
from madsep_jax import InputError, LossConfig, RunConfig, TrainingConfig, build_model, separate
from madsep_jax.checkpoint.folder import load_model, save_checkpoint
from madsep_jax.config.io import from_dict, to_dict
from madsep_jax.config.maskers import KINDS, MaskerConfig
from madsep_jax.config.presets import preset_config
from madsep_jax.config.systems import expand, system_name
from madsep_jax.export import export_forward
from madsep_jax.models import registry
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.models.variables import parameter_counts
from madsep_jax.signal.framing import middle_frames
from madsep_jax.train.batch import Batch
from madsep_jax.train.losses import loss_parts
from madsep_jax.train.step import init_state, make_train_step


@dataclass(frozen=True, kw_only=True)
class ToyConfig(MaskerConfig):
    kind: Literal["toy"] = "toy"
    units: int = 16

    systems: ClassVar = {"toy": {}}
    mark = "P"


class Toy(nn.Module):
    config: ToyConfig
    context_frames: int
    compute: object

    last_layer = ("to_mask",)

    @nn.compact
    def __call__(self, mag_BSF, train=False):
        h_BTH = nn.Dense(self.config.units, name="hidden")(middle_frames(mag_BSF, self.context_frames))
        to_mask = nn.Dense(mag_BSF.shape[-1], bias_init=nn.initializers.ones, name="to_mask")
        return nn.relu(to_mask(nn.relu(h_BTH)))


RUN = RunConfig(
    signal=SIGNAL,
    sequences=SEQUENCES,
    masker=ToyConfig(units=4),
    training=TrainingConfig(batch_size=2, learning_rate=1e-2),
)
BINS = SIGNAL.bins


@pytest.fixture(autouse=True)
def _toy():
    registry.register(Architecture(ToyConfig, Toy))
    yield
    del KINDS["toy"], registry.ARCHITECTURES["toy"]


@pytest.fixture
def state():
    return init_state(RUN)


def batch():
    mix_BSF = magnitudes(2, SEQUENCES.frames, BINS)
    return Batch(mix_BSF, 0.3 * mix_BSF[:, SEQUENCES.context : -SEQUENCES.context])


def test_configurations_know_it():
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(RUN)))) == RUN
    with pytest.raises(InputError, match=r"kind: found 'tou', did you mean 'toy'\?"):
        from_dict(RunConfig, {"masker": {"kind": "tou"}})
    with pytest.raises(InputError, match=r"ToyConfig\.kind: found 'gru', expected 'toy'"):
        ToyConfig(kind="gru")


def test_it_trains_by_eq_11(state):
    step = jax.jit(make_train_step(RUN))
    kernel = np.asarray(state.params["masker"]["to_mask"]["kernel"])
    losses = []
    for number in range(20):
        state, metrics = step(state, batch())
        losses.append(float(metrics["loss"]))
        if number == 0:
            assert metrics["masker_diagonal_l1"] == pytest.approx(1e-2 * np.abs(np.diagonal(kernel)).sum())
            assert metrics["denoiser_l2"] > 0
    assert losses[-1] < 0.9 * losses[0]


def test_a_layer_that_it_does_not_name_is_not_penalised(state, monkeypatch):
    monkeypatch.delattr(Toy, "last_layer")
    model = build_model(RUN.model)
    out = model.apply(state.variables, batch().mix_BSF)
    parts = loss_parts(out, jnp.asarray(batch().voice_BTF), model.output_kernels(state.params), LossConfig())
    assert list(parts) == ["masker", "denoiser", "denoiser_l2"]


def test_its_size_and_cost():
    """Oracle: its matrix products by hand, 5 % for what is done elementwise."""
    hidden = BINS // 2
    assert parameter_counts(RUN.model) == {
        "masker": BINS * 4 + 4 + 4 * BINS + BINS,
        "denoiser": BINS * hidden + hidden + hidden * BINS + BINS,
    }
    products = 2 * 2 * BINS * (4 + hidden) * SIGNAL.frames_per_second / 1e9
    assert forward_gflop_per_second(RUN) == pytest.approx(products, rel=0.1)
    assert 0 < training_seconds(RUN, 10, 1.0) < 1


def test_a_checkpoint_and_an_exported_program_are_the_model(tmp_path, state):
    save_checkpoint(tmp_path / "checkpoint", RUN, state)
    config, variables = load_model(tmp_path / "checkpoint")
    assert config == RUN
    jax.tree.map(np.testing.assert_array_equal, variables, state.variables)
    exported = export_forward(config, variables).call(variables, batch().mix_BSF)
    expected = build_model(RUN.model).apply(state.variables, batch().mix_BSF)
    assert_close(exported["voice_BTF"], expected.voice_BTF, 1e-6)


def test_it_separates_a_second(state):
    song_NC = np.random.default_rng(0).normal(size=(SIGNAL.sample_rate, 2)).astype(np.float32)
    parts = separate(RUN, state.variables, song_NC, SIGNAL.sample_rate)
    assert 0 < np.abs(parts.voice_NC).max() < np.inf
    np.testing.assert_allclose(parts.voice_NC + parts.accompaniment_NC, song_NC, atol=1e-6)


def test_it_is_a_system_with_a_row_and_a_point(monkeypatch):
    from matplotlib.axes import Axes

    base = preset_config("quick")
    row = PlannedRow.of_system("toy", 0, base)
    assert row.config == dataclasses.replace(base, masker=ToyConfig())
    assert "toy" in expand(("ALL",), (), ())
    assert system_name(row.config) == "toy"
    assert system_name(RUN) == "custom-toy"
    drawn, scatter = [], Axes.scatter

    def spy(axes, x, y, **style):
        drawn.append((style["label"], style["marker"]))
        return scatter(axes, x, y, **style)

    monkeypatch.setattr(Axes, "scatter", spy)
    scores = {"targets": {"vocals": {"median_db": {"SDR": 1.0}}}}
    result = RowResult(system="toy", seed=0, scores=scores, total_parameters=9, gflop_per_audio_second=1.0)
    for draw in quality_pictures([result]).values():
        draw()
    assert set(drawn) == {("toy", "P")}
    assert "| toy " in row_table([dataclasses.replace(result, scores=None)]).markdown()
