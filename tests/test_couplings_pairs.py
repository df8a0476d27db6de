import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny
from whole_songs import cut_sequences, join_sequences

from data_pipelines.songs.spectrograms import TrackFeatures
from experiments.coupling_maps.fit import frame_pairs, model_layers
from madsep_jax import build_model
from madsep_jax.config.maskers import AutoencoderConfig
from madsep_jax.config.run import LossConfig, RunConfig
from madsep_jax.config.signal import SequenceConfig
from madsep_jax.couplings.fit import map_frames
from madsep_jax.train.step import init_state

F = tiny.SIGNAL.bins
SINGLE = SequenceConfig(frames=1, context=0)
CONFIGS = {
    "dae": RunConfig(signal=tiny.SIGNAL, sequences=SINGLE, masker=AutoencoderConfig()),
    "dae-deep": RunConfig(signal=tiny.SIGNAL, sequences=SINGLE, masker=AutoencoderConfig(hidden_layers=3)),
    "mad": tiny.GRU,
    "dws": tiny.DWS,
}


@functools.cache
def model(system):
    """The config of a system and random weights."""
    return CONFIGS[system], init_state(CONFIGS[system]).variables


def songs(*lengths):
    rng = np.random.default_rng(3)
    tracks = [rng.gamma(0.5, 1.0, (2, frames, F)).astype(np.float32) for frames in lengths]
    return [TrackFeatures(f"song {number}", mix_MF, voice_MF) for number, (mix_MF, voice_MF) in enumerate(tracks)]


@pytest.mark.parametrize("system", ["dae", "mad", "dws"])
def test_all_frames_are_those_of_the_songs_run_whole(system):
    config, variables = model(system)
    features = songs(7, 1, 13)
    pairs = frame_pairs(config, variables, features, 10_000)
    np.testing.assert_array_equal(pairs.input_NF, np.concatenate([track.mix_MF for track in features]))
    songs_BSF = [cut_sequences(track.mix_MF, config.sequences) for track in features]
    run = jax.jit(functools.partial(build_model(config.model).apply, train=False))
    voice_BTF = np.asarray(run(variables, np.concatenate(songs_BSF)).voice_BTF)
    ends = np.cumsum([len(song_BSF) for song_BSF in songs_BSF])
    parts = zip(np.split(voice_BTF, ends[:-1]), features, strict=True)
    expected_NF = np.concatenate([join_sequences(part_BTF, track.frames) for part_BTF, track in parts])
    np.testing.assert_allclose(pairs.output_NF, expected_NF, rtol=1e-4, atol=1e-5)


def test_some_frames_are_taken_at_even_distances():
    config, variables = model("mad")
    features = songs(50, 10)
    everything = frame_pairs(config, variables, features, 60)
    some = frame_pairs(config, variables, features, 6)
    np.testing.assert_array_equal(some.input_NF, everything.input_NF[5::10])
    np.testing.assert_allclose(some.output_NF, everything.output_NF[5::10], rtol=1e-5)


def test_the_input_is_what_the_model_reads():
    config, variables = model("dae")
    config = dataclasses.replace(config, loss=LossConfig(target="ratio_mask"))
    features = songs(9)
    pairs = frame_pairs(config, variables, features, 9)
    np.testing.assert_array_equal(pairs.input_NF, np.clip(features[0].mix_MF, 0, 1))


def test_layers_are_those_of_the_model():
    config, variables = model("dae-deep")
    features = songs(5)
    pairs = frame_pairs(config, variables, features, 5)
    x_NF = pairs.input_NF
    layers = model_layers(config, variables["params"])
    assert len(layers) == 4
    for layer in layers:
        x_NF = np.maximum(map_frames(layer.weight_FF, x_NF) + layer.bias_F, 0)
    np.testing.assert_allclose(x_NF, pairs.output_NF, rtol=1e-4, atol=1e-5)
