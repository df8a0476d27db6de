"""The preset `released_code`. Oracle: the list of deviations, and hand-made cases (exact)."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.batches.order import TrainingOrder
from experiments.rows.row import PlannedRow
from madsep_jax import GruMaskerConfig, RunConfig, SequenceConfig, TrainingConfig
from madsep_jax.config.io import differences, override
from madsep_jax.config.presets import RELEASED_CODE, deviations_table, masker_fields, preset_config
from madsep_jax.config.systems import fields_of, masker_of

SYSTEMS = ["mad", "mad-ris-s", "mad-twinnet", "dws-5-64", "dws-5-64-res"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_row_differs_from_the_papers_in_exactly_what_is_listed(system):
    rows = [PlannedRow.of_system(system, 1, preset_config(preset)).config for preset in ("paper", "released_code")]
    found = {name: value for name, (_, value) in differences(*rows).items() if name != "preset"}
    kind = rows[0].masker.kind
    assert found == {d.field: d.value for d in RELEASED_CODE if d.kind in (None, kind)}


def test_what_is_listed():
    common = {"sequences.tail": "drop", "training.order": "passes", "loss.target": "ratio_mask"}
    both = "time_and_frequency"
    expected = {
        None: common,
        "gru": {"training.songs_per_pass": 4, "masker.residual_flip": both, "masker.twin_flip": both},
        "dws": {"masker.input_frames": "middle", "loss.masker_diagonal_l1": 0.0, "loss.denoiser_l2": 0.0},
    }
    for kind, fields in expected.items():
        assert {d.field: d.value for d in RELEASED_CODE if d.kind == kind} == fields
    assert RunConfig().training.songs_per_pass == 16  # of the DWS-CNN


def test_what_is_set_by_hand_stays():
    base = override(preset_config("released_code"), {"loss.denoiser_l2": 0.5, "training.songs_per_pass": 7})
    assert masker_fields(base, masker_of("mad")).keys() == {"masker"}
    assert masker_fields(base, masker_of("dws-5-64")).keys() == {"masker", "loss.masker_diagonal_l1"}


@pytest.mark.parametrize("preset", ["paper", "quick"])
def test_other_presets_set_the_masker_alone(preset):
    base = preset_config(preset)
    fields = fields_of("mad", base)
    assert fields == {"masker": GruMaskerConfig(reduced_bins={"paper": 744, "quick": 186}[preset])}


def test_table():
    lines = deviations_table().splitlines()
    assert len(lines) == 2 + len(RELEASED_CODE)
    assert all(line.count("|") == 5 for line in lines)
    assert "| `loss.denoiser_l2` | `0.0` | DWS-CNN | leaves the penalty of the denoiser's output layer out |" in lines


@pytest.mark.parametrize(("songs", "per_pass", "used"), [(50, 16, 48), (50, 4, 48), (48, 16, 48), (3, 16, 3)])
def test_songs_that_do_not_fill_a_pass_are_left_out(songs, per_pass, used):
    training = TrainingConfig(order="passes", songs_per_pass=per_pass, batch_size=1)
    sequences = SequenceConfig(frames=3, context=1)
    order = TrainingOrder.of_songs([1] * songs, sequences, training)
    chosen = order.song_of[order.epoch(0)]
    assert sorted(chosen) == list(range(used))
    np.testing.assert_array_equal(chosen // per_pass, np.arange(used) // per_pass)
    everything = TrainingOrder.of_songs([1] * songs, sequences, dataclasses.replace(training, order="global"))
    assert len(everything.song_of) == songs
