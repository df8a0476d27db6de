"""Oracles: the text of every refusal, and equality of what goes to dictionaries and back."""

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import DWS, GRU

from madsep_jax import (
    AutoencoderConfig,
    DwsMaskerConfig,
    GruMaskerConfig,
    InputError,
    LossConfig,
    ModelConfig,
    RunConfig,
    SequenceConfig,
    SignalConfig,
    TrainingConfig,
)
from madsep_jax.config.io import differences, from_dict, override, to_dict
from madsep_jax.config.presets import PRESETS, preset_config

NAN = float("nan")
REFUSED = [
    (SignalConfig, "sample_rate", 0, "a positive number of Hz"),
    (SignalConfig, "hop_length", 0, "a positive number of samples"),
    (SignalConfig, "window_length", 1152, "more than 3 and at most 6 hops of 384, so that frames cover every sample"),
    (SignalConfig, "window_length", 2305, "more than 3 and at most 6 hops of 384, so that frames cover every sample"),
    (SignalConfig, "fft_length", 2048, "an even number of at least window_length (2049)"),
    (SignalConfig, "fft_length", 4097, "an even number of at least window_length (2049)"),
    (SequenceConfig, "context", -1, "0 or more frames"),
    (SequenceConfig, "frames", 20, "more than twice the context (10)"),
    (SequenceConfig, "tail", "cut", "'pad' or 'drop'"),
    (GruMaskerConfig, "reduced_bins", 0, "a positive number of bins"),
    (GruMaskerConfig, "residual_flip", "frequency", "'time' or 'time_and_frequency'"),
    (DwsMaskerConfig, "layers", -1, "0 to 1000 blocks"),
    (DwsMaskerConfig, "layers", 1001, "0 to 1000 blocks"),
    (DwsMaskerConfig, "channels", 0, "1 to 65536 channels"),
    (DwsMaskerConfig, "channels", 65537, "1 to 65536 channels"),
    (DwsMaskerConfig, "kernel", 4, "a positive odd number"),
    (DwsMaskerConfig, "kernel", -1, "a positive odd number"),
    (DwsMaskerConfig, "dropout", 1.0, "a probability of at least 0 and below 1"),
    (DwsMaskerConfig, "dropout", -0.1, "a probability of at least 0 and below 1"),
    (DwsMaskerConfig, "input_frames", "first", "'all' or 'middle'"),
    (ModelConfig, "bins", 1, "at least 2"),
    (ModelConfig, "context_frames", -1, "0 or more frames"),
    (LossConfig, "target", "phase", "'magnitude' or 'ratio_mask'"),
    (LossConfig, "masker_diagonal_l1", -1.0, "0 or more"),
    (LossConfig, "denoiser_l2", NAN, "0 or more"),
    (TrainingConfig, "batch_size", 0, "a positive number of sequences"),
    (TrainingConfig, "epochs", 0, "a positive number"),
    (TrainingConfig, "steps", 0, "a positive number"),
    (TrainingConfig, "learning_rate", 0.0, "a positive number"),
    (TrainingConfig, "learning_rate", NAN, "a positive number"),
    (TrainingConfig, "learning_rate", float("inf"), "a positive number"),
    (TrainingConfig, "adam_b1", 1.0, "at least 0 and below 1"),
    (TrainingConfig, "adam_b2", -0.1, "at least 0 and below 1"),
    (TrainingConfig, "adam_epsilon", 0.0, "a positive number"),
    (TrainingConfig, "gradient_clip", 0.0, "a positive number"),
    (TrainingConfig, "seed", -1, "0 or more, below 2**31"),
    (TrainingConfig, "seed", 2**31, "0 or more, below 2**31"),
    (TrainingConfig, "order", "file", "'global' or 'passes'"),
    (TrainingConfig, "songs_per_pass", 0, "a positive number of songs"),
]


def line(text):
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize(("config", "field", "value", "expected"), REFUSED)
def test_refusals(config, field, value, expected):
    with pytest.raises(InputError, match=line(f"{config.__name__}.{field}: found {value!r}, expected {expected}")):
        config(**{field: value})


def test_reduced_bins_must_fit_the_bins():
    with pytest.raises(
        InputError, match=line("GruMaskerConfig.reduced_bins: found 744, expected at most the 513 bins")
    ):
        ModelConfig(bins=513)
    with pytest.raises(InputError, match=r"found 744, expected at most the 81 bins"):
        dataclasses.replace(GRU, masker=GruMaskerConfig())


def test_the_defaults_are_the_papers():
    run = RunConfig()
    assert (run.signal.bins, run.sequences.target_frames, run.model.context_frames) == (2049, 40, 10)
    assert run.model == ModelConfig()
    assert run.signal.frames_per_second == pytest.approx(114.84375)


runs = st.builds(
    RunConfig,
    signal=st.just(GRU.signal),
    sequences=st.builds(SequenceConfig, frames=st.integers(21, 80), tail=st.sampled_from(["pad", "drop"])),
    masker=st.one_of(
        st.builds(GruMaskerConfig, reduced_bins=st.integers(1, 81)),
        st.builds(DwsMaskerConfig, residual=st.booleans(), dropout=st.floats(0, 0.9)),
    ),
    training=st.builds(TrainingConfig, steps=st.none() | st.integers(1, 9), learning_rate=st.floats(1e-9, 1)),
)


@given(run=runs)
def test_round_trip_through_json(run):
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(run)))) == run


def test_absent_fields_take_their_default():
    assert from_dict(RunConfig, {"training": {"epochs": 3}}) == RunConfig(training=TrainingConfig(epochs=3))


def test_whole_numbers_pass_for_floats():
    assert isinstance(from_dict(TrainingConfig, {"learning_rate": 1}).learning_rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainning": {}}, "RunConfig: unknown field 'trainning', did you mean 'training'?"),
        ({"training": {"batchsize": 3}}, "RunConfig.training: unknown field 'batchsize', did you mean 'batch_size'?"),
        (
            {"sequences": {"xyz": 3}},
            "RunConfig.sequences: unknown field 'xyz', expected one of: context, frames, tail",
        ),
        ({"masker": {"kind": "dwt"}}, "RunConfig.masker.kind: found 'dwt', did you mean 'dws'?"),
        (
            {"masker": {"layers": 3}},
            "RunConfig.masker.kind: found None, expected one of: autoencoder, dilated, dws, gru, mingru, outside",
        ),
        (
            {"masker": {"kind": "gru", "layers": 3}},
            "RunConfig.masker: unknown field 'layers', expected one of: kind, recurrent_iterations, "
            "recurrent_tolerance, reduced_bins, residual_flip, twin, twin_flip",
        ),
        ({"training": {"epochs": "3"}}, "RunConfig.training.epochs: found '3', expected int"),
        ({"training": {"epochs": True}}, "RunConfig.training.epochs: found True, expected int"),
        ({"training": {"epochs": 3.5}}, "RunConfig.training.epochs: found 3.5, expected int"),
        ({"training": {"steps": "3"}}, "RunConfig.training.steps: found '3', expected int"),
        ({"training": {"learning_rate": None}}, "RunConfig.training.learning_rate: found None, expected float"),
        ({"training": {"order": "globl"}}, "RunConfig.training.order: found 'globl', did you mean 'global'?"),
        ({"training": 3}, "RunConfig.training: found 3, expected an object with named fields"),
        ({"training": {"epochs": 0}}, "TrainingConfig.epochs: found 0, expected a positive number"),
    ],
)
def test_from_dict_refusals(values, message):
    with pytest.raises(InputError, match=line(message)):
        from_dict(RunConfig, values)


def test_from_dict_names_where_the_values_come_from():
    with pytest.raises(InputError, match=line("run.json.training.epochs: found '3', expected int")):
        from_dict(RunConfig, {"training": {"epochs": "3"}}, "run.json")


def test_override_changes_the_named_fields_alone():
    changed = override(DWS, {"training.epochs": 7, "masker.layers": 3, "preset": "other"})
    assert differences(DWS, changed) == {
        "training.epochs": (DWS.training.epochs, 7),
        "masker.layers": (DWS.masker.layers, 3),
        "preset": (DWS.preset, "other"),
    }


def test_override_of_several_fields_of_one_config_at_once():
    """Each alone would not fit the others' old values."""
    changed = override(DWS, {"signal.window_length": 513, "signal.hop_length": 96, "signal.fft_length": 1024})
    assert changed.signal == SignalConfig(sample_rate=8000, window_length=513, hop_length=96, fft_length=1024)


def test_override_of_a_whole_config_and_of_fields_within_it():
    changed = override(DWS, {"masker": GruMaskerConfig(reduced_bins=9), "masker.residual_flip": "time_and_frequency"})
    assert changed.masker == GruMaskerConfig(reduced_bins=9, residual_flip="time_and_frequency")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("traning.epochs", "RunConfig: unknown field 'traning.epochs', did you mean 'training'?"),
        ("training.epoch", "TrainingConfig: unknown field 'epoch', did you mean 'epochs'?"),
        ("masker.reduced_bins", "DwsMaskerConfig: unknown field 'reduced_bins', expected one of: "),
        ("preset.name", "RunConfig: unknown field 'preset.name', did you mean 'preset'?"),
        ("training.epochs.more", "TrainingConfig: unknown field 'epochs.more', did you mean 'epochs'?"),
    ],
)
def test_override_refusals(path, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        override(DWS, {path: 1})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training.batch_size", "4", "TrainingConfig.batch_size: found '4', expected int"),
        ("training.steps", 2.5, "TrainingConfig.steps: found 2.5, expected int"),
        ("masker.residual", 1, "DwsMaskerConfig.residual: found 1, expected bool"),
        ("sequences.tail", "padd", "SequenceConfig.tail: found 'padd', did you mean 'pad'?"),
        ("masker", {"kind": "dsw"}, "RunConfig.masker.kind: found 'dsw', did you mean 'dws'?"),
    ],
)
def test_override_refuses_values_of_another_type(path, value, message):
    with pytest.raises(InputError, match=line(message)):
        override(DWS, {path: value})


def test_override_refuses_what_the_config_refuses():
    with pytest.raises(InputError, match=r"TrainingConfig.epochs: found 0"):
        override(DWS, {"training.epochs": 0})


def test_differences():
    assert differences(DWS, DWS) == {}
    assert differences(DWS, GRU) == {"masker": (DWS.masker, GRU.masker)}
    assert differences(1, 2, "field") == {"field": (1, 2)}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_differs_from_the_paper_in_its_declared_fields(name):
    declared = PRESETS[name] | ({"preset": name} if name != "paper" else {})
    found = differences(RunConfig(masker=AutoencoderConfig()), preset_config(name))
    assert {field: after for field, (_, after) in found.items()} == declared


def test_unknown_preset():
    with pytest.raises(InputError, match=line("preset 'papper': unknown, did you mean 'paper'?")):
        preset_config("papper")


def test_fitted_to_keeps_the_share_of_the_reduced_bins():
    assert GruMaskerConfig().fitted_to(2049) == GruMaskerConfig()
    assert GruMaskerConfig(residual_flip="time_and_frequency").fitted_to(513) == GruMaskerConfig(
        reduced_bins=186, residual_flip="time_and_frequency"
    )
    assert DWS.masker.fitted_to(513) is DWS.masker


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"training": SignalConfig()}, "RunConfig.training: found SignalConfig("),
        ({"training.epochs": SignalConfig()}, "TrainingConfig.epochs: found SignalConfig("),
        ({"masker": LossConfig()}, "RunConfig.masker.kind: found None"),
    ],
)
def test_override_refuses_a_config_of_another_kind(changes, text):
    with pytest.raises(InputError) as error:
        override(DWS, changes)
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("config_type", [GruMaskerConfig, DwsMaskerConfig, AutoencoderConfig])
def test_a_kind_is_that_of_its_class(config_type):
    with pytest.raises(InputError, match=r"kind: found 'other', expected"):
        config_type(kind="other")


def test_the_dws_masker_needs_bins_enough_for_its_pooling():
    """75 // 5 * 2 - 4 = 26, 26 // 5 // 5 = 1: one bin less leaves no frequency."""
    ModelConfig(bins=75, masker=DwsMaskerConfig())
    with pytest.raises(InputError, match=r"ModelConfig\.bins: found 74, expected at least 75 for the DWS masker"):
        ModelConfig(bins=74, masker=DwsMaskerConfig())
