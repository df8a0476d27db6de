"""The loss on held-out songs. Oracle: a loop over single sequences, in NumPy but for the model; 1e-10 in float64."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from tame_state import tame_state
from tiny import DWS, GRU, SEQUENCES, SIGNAL, magnitudes
from whole_songs import cut_sequences

from data_pipelines.batches.sources import SongSpectrograms, held_out_batches
from data_pipelines.songs.spectrograms import TrackFeatures
from madsep_jax.config.io import override
from madsep_jax.config.maskers import AutoencoderConfig, DilatedConfig
from madsep_jax.config.signal import SequenceConfig
from madsep_jax.models import build_model
from madsep_jax.train import losses as module
from madsep_jax.train.losses import validation_loss
from madsep_jax.train.step import init_state

SONG_FRAMES = (13, 4, 9)  # 4 + 1 + 3 sequences of 4 frames: with batches of 3, the last has two
SYSTEMS = {
    "twin": override(GRU, {"masker.twin": True}),
    "dws": DWS,
    "ratio": override(GRU, {"loss.target": "ratio_mask", "loss.masker_diagonal_l1": 0.0}),
    "dae": dataclasses.replace(GRU, masker=AutoencoderConfig()),
    "dilated": dataclasses.replace(
        GRU, masker=DilatedConfig(blocks=1, channels=8, convolutions=1, groups=1, gru_dilation=2)
    ),
}


def songs(dtype=np.float64):
    found = []
    for number, frames in enumerate(SONG_FRAMES):
        mix_MF = magnitudes(frames, SIGNAL.bins, seed=number).astype(dtype)
        found.append(TrackFeatures(f"song {number}", mix_MF, mix_MF * np.linspace(0, 1, SIGNAL.bins)))
    return found


class Float64Songs(SongSpectrograms):
    """Batches in double precision, which those of a training are not."""

    def silence(self, size):
        return jax.tree.map(lambda array: array.astype(np.float64), super().silence(size))


def kl(target_TF, estimate_TF):
    log_ratio = np.log(target_TF + 1e-6) - np.log(estimate_TF + 1e-6)
    return (target_TF * log_ratio + estimate_TF - target_TF).sum(axis=-1).mean()


def loss_of_one(config, variables, infer, mix_SF, voice_TF):
    """Eq. 11 in inference, of one sequence; `infer` is the model."""
    params, weights = variables["params"], config.loss
    middle_TF = mix_SF[SEQUENCES.context : -SEQUENCES.context]
    if weights.target == "ratio_mask":
        both_TF = middle_TF + voice_TF
        ratio_TF = np.divide(voice_TF, both_TF, out=np.zeros_like(both_TF), where=both_TF > 0)
        voice_TF, mix_SF = np.clip(2 * middle_TF * ratio_TF, 0, 1), np.clip(mix_SF, 0, 1)
        middle_TF = np.clip(middle_TF, 0, 1)
    found = infer(variables, mix_SF[None])
    if found.masker_BTF is None:
        parts = {"voice": kl(voice_TF, np.asarray(found.voice_BTF[0]))}
        if found.accompaniment_BTF is not None:
            rest_TF = np.maximum(middle_TF - voice_TF, 0)
            parts["accompaniment"] = kl(rest_TF, np.asarray(found.accompaniment_BTF[0]))
        return parts
    parts = {
        "masker": kl(voice_TF, np.asarray(found.masker_BTF[0])),
        "denoiser": kl(voice_TF, np.asarray(found.voice_BTF[0])),
    }
    if weights.masker_diagonal_l1:
        diagonal = np.diagonal(params["masker"]["mask_layer"]["kernel"])
        parts["masker_diagonal_l1"] = weights.masker_diagonal_l1 * np.abs(diagonal).sum()
    if weights.denoiser_l2:
        parts["denoiser_l2"] = weights.denoiser_l2 * np.square(params["denoiser"]["decoder"]["kernel"]).sum()
    return parts


def variables_of(config):
    """With running statistics that are not where they start."""
    variables = tame_state(init_state(config), "float64").variables
    if "batch_stats" in variables:
        variables["batch_stats"] = jax.tree.map(lambda leaf: 0.7 * leaf + 0.2, variables["batch_stats"])
    return variables


@pytest.mark.parametrize(("system", "size"), [*((system, 3) for system in SYSTEMS), ("dae", 4), ("dae", 20)])
def test_it_is_the_average_over_all_sequences(float64, system, size):
    """With a short last batch, without one, and with one batch alone that is not full."""
    config, variables = SYSTEMS[system], variables_of(SYSTEMS[system])
    source = Float64Songs(songs(), SEQUENCES)
    found = validation_loss(config, variables, held_out_batches(source, SEQUENCES, size))
    each, infer = [], jax.jit(functools.partial(build_model(config.model).apply, train=False))
    for song in songs():
        mix_BSF, voice_BSF = (cut_sequences(mag_MF, SEQUENCES) for mag_MF in (song.mix_MF, song.voice_MF))
        voice_BTF = voice_BSF[:, SEQUENCES.context : -SEQUENCES.context]
        each += [loss_of_one(config, variables, infer, *pair) for pair in zip(mix_BSF, voice_BTF, strict=True)]
    assert len(each) == 8
    expected = {name: np.mean([parts[name] for parts in each]) for name in each[0]}
    assert found == pytest.approx({"loss": sum(expected.values()), **expected}, rel=1e-10)


def test_recurrent_inference_without_an_early_end_is_the_loop_too(float64):
    """With one, the end is that of a batch, which single sequences do not have."""
    config = override(GRU, {"masker.recurrent_iterations": 2, "masker.recurrent_tolerance": 0.0})
    variables, source = variables_of(config), Float64Songs(songs(), SEQUENCES)
    sizes = (3, 1)
    found = [validation_loss(config, variables, held_out_batches(source, SEQUENCES, size)) for size in sizes]
    assert found[0] == pytest.approx(found[1], rel=1e-10)
    assert set(found[0]) == {"loss", "masker", "denoiser", "masker_diagonal_l1", "denoiser_l2"}


def test_it_is_compiled_once():
    config, source = GRU, SongSpectrograms(songs(np.float32), SEQUENCES)
    states = [init_state(override(config, {"training.seed": seed})) for seed in range(2)]
    before = module._jitted_sums(jax.default_backend())._cache_size()
    for state in states:
        validation_loss(config, state.variables, held_out_batches(source, SEQUENCES, 5))
    assert module._jitted_sums(jax.default_backend())._cache_size() - before <= 1


@pytest.mark.parametrize(("tail", "expected"), [("pad", 8), ("drop", 6)])
def test_all_sequences_of_the_songs_are_taken(tail, expected):
    """`drop` leaves out what does not fill a sequence, but no whole sequence for the sake of a batch."""
    sequences = SequenceConfig(frames=8, context=2, tail=tail)
    batches = list(held_out_batches(SongSpectrograms(songs(np.float32), sequences), sequences, 5))
    assert sum(count for _, count in batches) == expected
    assert [len(batch.mix_BSF) for batch, _ in batches] == [5, 5]
    last, count = batches[-1]
    assert not last.mix_BSF[count:].any()
    assert last.mix_BSF[:count].any(axis=(1, 2)).all()


def test_no_sequence_is_no_loss():
    with pytest.raises(ValueError, match="no sequences"):
        validation_loss(GRU, init_state(GRU).variables, [])
