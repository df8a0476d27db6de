"""From a trained model to its mapping: pairs of a mixture's spectrum and the voice's from whole songs, and the fit."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.songs.spectrograms import TrackFeatures
from experiments.cli.console import Bar
from experiments.coupling_maps.options import CouplingsOptions
from experiments.data.songs import Songs
from madsep_jax.config.couplings import CouplingsConfig, Form
from madsep_jax.config.run import RunConfig
from madsep_jax.couplings.fit import CouplingsFit, Layer, fit_couplings, fit_student
from madsep_jax.errors import InputError
from madsep_jax.models import build_model
from madsep_jax.models.registry import architecture_of
from madsep_jax.ops.precision import computing_in
from madsep_jax.signal.framing import cut_sequence, middle_frames
from madsep_jax.train.batch import clip_input

#: Frames that go through the model at once, about.
_BLOCK_FRAMES = 480


@dataclass(frozen=True)
class FramePairs:
    """Magnitudes of N frames, float32."""

    input_NF: np.ndarray
    """The mixture, as the model reads it."""
    output_NF: np.ndarray
    """The voice that the model estimates in the same frames."""


def frame_pairs(
    config: RunConfig,
    variables: Mapping[str, Any],
    features: Sequence[TrackFeatures],
    frames: int,
    on_part: Callable[[float], None] = lambda share: None,
) -> FramePairs:
    """Run a model on songs and return some of the frames that it read and made.

    The frames are taken at even distances over all songs, laid one after the other. A model of sequences reads each of
    them in its sequence: those that tile the song, the first one's middle frames being the song's first.

    All are taken where the songs have fewer. `on_part` is called with the share that is done, now and then.
    """
    steps, context = config.sequences.target_frames, config.sequences.context
    song_N, frame_N = _choose([track.frames for track in features], frames)
    places, place_N = np.unique(np.stack([song_N, frame_N // steps], axis=1), axis=0, return_inverse=True)
    input_NF = np.zeros((len(song_N), config.signal.bins), np.float32)
    output_NF = np.zeros_like(input_NF)
    in_block = max(_BLOCK_FRAMES // config.sequences.frames, 1)
    for start in range(0, len(places), in_block):
        mag_BSF = np.zeros((in_block, config.sequences.frames, config.signal.bins), np.float32)
        for row, (song, number) in enumerate(places[start : start + in_block]):
            first = number * steps - context
            mag_BSF[row] = cut_sequence(features[song].mix_MF, first, config.sequences.frames)
        mix_BTF, voice_BTF = _estimate(config, variables, mag_BSF)
        here_N = (place_N >= start) & (place_N < start + in_block)
        taken = (place_N[here_N] - start, frame_N[here_N] % steps)
        input_NF[here_N] = np.asarray(mix_BTF)[taken]
        output_NF[here_N] = np.asarray(voice_BTF)[taken]
        on_part(min((start + in_block) / len(places), 1))
    return FramePairs(input_NF, output_NF)


def _choose(lengths: Sequence[int], wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the songs' numbers and the frames' numbers within them."""
    ends = np.cumsum(lengths)
    count = min(wanted, int(ends[-1]))
    place_N = ((2 * np.arange(count) + 1) * int(ends[-1])) // (2 * count)
    song_N = np.searchsorted(ends, place_N, side="right")
    return song_N, place_N - (ends - np.asarray(lengths))[song_N]


@functools.partial(jax.jit, static_argnames="config")
def _estimate(config: RunConfig, variables: Mapping[str, Any], mag_BSF: jax.Array) -> tuple[jax.Array, jax.Array]:
    mag_BSF = clip_input(jnp.asarray(mag_BSF), config.loss)
    context = config.sequences.context
    with computing_in(config.compute, "float32"):
        separation: Any = build_model(config.model).apply(variables, mag_BSF, train=False)
    return middle_frames(mag_BSF, context), separation.voice_BTF


def choose_fit(options: CouplingsOptions, config: RunConfig, system: str, several: bool = False) -> CouplingsConfig:
    """Return the fit's settings: where `several` are compared those that every system can have.

    Raises InputError where the system has no layers for the form that is asked for.
    """
    layered = bool(_layer_names(config))
    if options.form == "compositional" and not layered:
        raise InputError(f"--form compositional: found the system {system}, expected an autoencoder; use student")
    of_system: Form = "compositional" if layered and not several else "student"
    form = of_system if options.form == "auto" else options.form
    start = {"initial": "zeros"} if several and form == "student" else {}
    return CouplingsConfig(form=form, **start | options.fit.given())


def fit_mapping(
    config: RunConfig, variables: dict[str, Any], pairs: FramePairs, fit_config: CouplingsConfig, bar: Bar
) -> CouplingsFit:
    """Fit a mapping to what a model reads and makes, and show its steps."""

    def report(done: int, l1: float) -> None:
        bar.advance_to(done, f"L1 {l1:.4g}")

    with computing_in(config.compute, "float32"):
        if fit_config.form == "student":
            return fit_student(pairs.input_NF, pairs.output_NF, fit_config, on_steps=report)
        layers = model_layers(config, variables["params"])
        return fit_couplings(layers, pairs.input_NF, pairs.output_NF, fit_config, on_steps=report)


def model_layers(config: RunConfig, params: Any) -> list[Layer]:
    """Return the layers of a model that is a chain of them, first layer first, from its Flax parameters."""
    layers = [params[name] for name in _layer_names(config)]
    return [Layer(np.asarray(layer["kernel"]).T, np.asarray(layer["bias"])) for layer in layers]


def _layer_names(config: RunConfig) -> tuple[str, ...]:
    return architecture_of(config.masker).layers(config.masker)


def protocol(config: RunConfig, songs: Songs, pairs: FramePairs, available: int) -> dict[str, Any]:
    """Return which frames the numbers are about."""
    return {
        "data": songs.description,
        "songs": [track.name for track in songs.test],
        "frames": len(pairs.input_NF),
        "frames_available": available,
        "choice": "test songs laid one after the other, frames at even distances",
        "input": "mono mixture magnitude" + (", clipped to 0…1" if config.loss.target == "ratio_mask" else ""),
        "output": "voice_BTF of the model, in inference",
        "sequence_frames": config.sequences.frames,
        "sequence_context": config.sequences.context,
    }
