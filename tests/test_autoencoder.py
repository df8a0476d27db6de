"""The autoencoders against the published implementation, and single frames through the whole pipeline."""

from pathlib import Path

import jax
import numpy as np
import pytest
from whole_songs import cut_sequences, join_sequences

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.pipeline import training_batches
from data_pipelines.batches.sources import SongSpectrograms
from data_pipelines.songs.spectrograms import TrackFeatures
from madsep_jax import InputError, ModelConfig, RunConfig, SequenceConfig, SignalConfig, TrainingConfig, build_model
from madsep_jax.config.maskers import AutoencoderConfig
from madsep_jax.separation import separate
from madsep_jax.signal.framing import middle_frames
from madsep_jax.train.step import init_state

REFERENCE = Path(__file__).parent / "reference" / "nca.npz"
SYSTEMS = {
    "dae": AutoencoderConfig(),
    "dnn": AutoencoderConfig(hidden_layers=3),
    "skip_filtering": AutoencoderConfig(skip_filtering=True),
}
SIGNAL = SignalConfig(sample_rate=11025, window_length=65, hop_length=12, fft_length=128)
SINGLE = SequenceConfig(frames=1, context=0)


def published(system):
    """Our variables, and the input and output of the published model, all float64."""
    names = {"ih_matrix": "hidden_0", "hh_matrix": "hidden_1", "hh_b_matrix": "hidden_2", "ho_matrix": "output"}
    with np.load(REFERENCE) as file:
        params = {
            ours: {"kernel": file[f"{system}/model/{name}.weight"].T, "bias": file[f"{system}/model/{name}.bias"]}
            for name, ours in names.items()
            if f"{system}/model/{name}.weight" in file
        }
        return {"params": params}, file[f"{system}/input"], file[f"{system}/output"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_output_is_that_of_the_published_model(system):
    """Oracle: the authors' implementation in float64; 1e-6."""
    variables, input_NF, output_NF = published(system)
    model = build_model(ModelConfig(bins=18, context_frames=0, masker=SYSTEMS[system]))
    with jax.enable_x64(True):
        shapes = jax.eval_shape(model.init, jax.random.key(0), input_NF[:, None])
        assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, variables)
        out = model.apply(variables, input_NF[:, None], train=False)
        assert out.masker_BTF is None
        assert out.voice_BTF.dtype == np.float64
        np.testing.assert_allclose(out.voice_BTF[:, 0], output_NF, atol=1e-6)


def test_context_frames_are_dropped():
    """Oracle: the same frames alone."""
    variables, input_NF, output_NF = published("dae")
    model = build_model(ModelConfig(bins=18, context_frames=2, masker=SYSTEMS["dae"]))
    out = model.apply(variables, input_NF[None], train=False)
    np.testing.assert_allclose(out.voice_BTF[0], output_NF[2:-2], atol=1e-6)


def test_starts_from_xavier_weights_and_no_bias():
    """Oracle: a standard deviation of sqrt(2 / (2F)) = 0.05 for F = 400; 2 %."""
    model = build_model(ModelConfig(bins=400, context_frames=0, masker=AutoencoderConfig()))
    params = model.init(jax.random.key(0), np.zeros((1, 1, 400), np.float32))["params"]
    for layer in ("hidden_0", "output"):
        assert np.std(params[layer]["kernel"]) == pytest.approx(0.05, rel=0.02)
        assert not np.any(params[layer]["bias"])


def test_no_layers_are_refused():
    with pytest.raises(InputError, match=r"AutoencoderConfig\.hidden_layers: found 0, expected a positive number of"):
        AutoencoderConfig(hidden_layers=0)


def test_single_frames_are_cut_and_joined():
    frames_NF = np.random.default_rng(0).normal(size=(17, 3))
    sequences_BSF = cut_sequences(frames_NF, SINGLE)
    assert sequences_BSF.shape == (17, 1, 3)
    np.testing.assert_array_equal(join_sequences(middle_frames(sequences_BSF, 0), 17), frames_NF)


def test_single_frames_reach_the_training():
    """Oracle: every batch holds frames of the song; an epoch holds each of them once but for what fills no batch."""
    song_MF = np.arange(33, dtype=np.float32)[:, None] * np.ones(65, np.float32)
    features = [TrackFeatures("song", song_MF, song_MF / 2)]
    order = TrainingOrder.of_songs([33], SINGLE, TrainingConfig(batch_size=8, epochs=1))
    batches = list(training_batches(SongSpectrograms(features, SINGLE), order))
    assert len(batches) == 4
    seen = []
    for batch in batches:
        assert batch.mix_BSF.shape == batch.voice_BTF.shape == (8, 1, 65)
        np.testing.assert_array_equal(batch.mix_BSF, 2 * np.asarray(batch.voice_BTF))
        seen += [int(frame) for frame in np.asarray(batch.mix_BSF)[:, 0, 0]]
    assert len(set(seen)) == 32


@pytest.mark.parametrize("frames", [1, 700])
def test_song_is_separated_frame_by_frame(frames):
    """Oracle: with a mask of 1 at every bin, the voice is the mixture; 1e-5. From one frame to several blocks."""
    config = RunConfig(signal=SIGNAL, sequences=SINGLE, masker=AutoencoderConfig(skip_filtering=True))
    params = jax.tree.map(np.zeros_like, init_state(config).params)
    params["output"]["bias"] += 1
    mixture_NC = np.random.default_rng(0).normal(size=(frames * SIGNAL.hop_length, 2)).astype(np.float32)
    separated = separate(config, {"params": params}, mixture_NC, SIGNAL.sample_rate)
    np.testing.assert_allclose(separated.voice_NC, mixture_NC, atol=1e-5)


def test_block_size_does_not_count():
    """Oracle: one frame at a time; 1e-5."""
    config = RunConfig(signal=SIGNAL, sequences=SINGLE, masker=AutoencoderConfig())
    variables = init_state(config).variables
    mixture_NC = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32)
    at_once = separate(config, variables, mixture_NC, SIGNAL.sample_rate)
    singly = separate(config, variables, mixture_NC, SIGNAL.sample_rate, sequences_per_block=1)
    np.testing.assert_allclose(at_once.voice_NC, singly.voice_NC, atol=1e-5)
