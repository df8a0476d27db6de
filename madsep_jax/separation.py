"""Separate a song of any length, rate and number of channels into voice and accompaniment.

The song goes through the model in blocks of one fixed shape, so that one compilation serves songs of every length.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.audio.resampling import process_at_rate
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import build_model
from madsep_jax.models.registry import architecture_of
from madsep_jax.models.variables import inference_variables
from madsep_jax.signal.stft import (
    analyse_frames,
    cut_frames,
    full_frame_count,
    overlap_add,
    overlapped_squares,
    synthesise_frames,
)
from madsep_jax.train.batch import clip_input

#: Frames that go through the model at once where its masker asks for no fewer (mad on two CPU cores: real-time factor
#: 0.119 with 40, 0.047 with 320).
_MANY_FRAMES = 320


class Separated(NamedTuple):
    """Voice and accompaniment, float32 (samples, channels); they add up to the mixture."""

    voice_NC: np.ndarray
    accompaniment_NC: np.ndarray


def separate(
    config: RunConfig,
    variables: Mapping[str, Any],
    mixture_NC: np.ndarray,
    sample_rate: int,
    *,
    sequences_per_block: int | None = None,
) -> Separated:
    """Return a song's singing voice and its accompaniment (= mixture - voice), of the shape and rate of the mixture.

    The model reads the average of the channels; its mask is applied to each channel, with the mixture's phase.

    Args:
        config: of the trained model, as `madsep_jax.checkpoint.folder.load_model` returns it.
        variables: the trained weights.
        mixture_NC: the song's samples (N, channels).
        sample_rate: of the song, Hz. Other rates than the model's are resampled for the model and back.
        sequences_per_block: sequences that the model processes at once; decides the memory needed. None for a number
            that suits the model and the device.

    Raises:
        ValueError: where the mixture is not a two-dimensional array of finite numbers.
    """
    if sequences_per_block is None:
        sequences_per_block = suitable_sequences_per_block(config)
    variables = inference_variables(config, variables)
    mixture_NC = np.asarray(mixture_NC, np.float32)
    if mixture_NC.ndim != 2 or not np.isfinite(mixture_NC).all():
        raise ValueError(f"mixture_NC: found shape {mixture_NC.shape}, expected finite samples (N, channels)")
    voice_NC = process_at_rate(
        mixture_NC,
        sample_rate,
        config.signal.sample_rate,
        lambda samples_NC: _separate_voice(config, variables, samples_NC, sequences_per_block),
    )
    return Separated(voice_NC=voice_NC, accompaniment_NC=mixture_NC - voice_NC)


def suitable_sequences_per_block(config: RunConfig) -> int:
    """Return how many sequences are best separated at once on the present backend."""
    frames = architecture_of(config.masker).frames_at_once.get(jax.default_backend(), _MANY_FRAMES)
    return max(frames // config.sequences.target_frames, 1)


def _separate_voice(
    config: RunConfig, variables: Mapping[str, Any], mixture_NC: np.ndarray, sequences_per_block: int
) -> np.ndarray:
    """Block after block: cut the samples under its frames, estimate, overlap-add."""
    signal, sequences = config.signal, config.sequences
    length, channels = mixture_NC.shape
    full = full_frame_count(length, signal)
    block_frames = sequences_per_block * sequences.target_frames
    starts = range(0, full, block_frames)
    context = sequences.context * signal.hop_length
    block_samples = (block_frames + 2 * sequences.context - 1) * signal.hop_length + signal.window_length
    end = starts[-1] * signal.hop_length + block_samples
    lead = context + 3 * signal.hop_length
    padded_CN = np.zeros((channels, max(end, lead + length)), np.float32)
    padded_CN[:, lead : lead + length] = mixture_NC.T
    voice_CN = np.zeros((channels, end), np.float32)
    separate_block = _jitted_block(jax.default_backend())
    for start in starts:
        offset = start * signal.hop_length
        block_CN = padded_CN[:, offset : offset + block_samples]
        part_CN = separate_block(config, variables, block_CN, start, full, sequences_per_block)
        voice_CN[:, offset : offset + part_CN.shape[1]] += np.asarray(part_CN)
    inside = slice(3 * signal.hop_length, 3 * signal.hop_length + length)
    squares_N = overlapped_squares(full, signal)[inside]
    return np.ascontiguousarray((voice_CN[:, inside] / squares_N.astype(np.float32)).T)


@functools.cache
def _jitted_block(backend: str) -> Any:
    """Jit when it is needed: the backend, whose options it takes, is not known before."""
    static = ("config", "sequences_per_block")
    return jax.jit(_separate_block, static_argnames=static, compiler_options=compiler_options(backend))


def _separate_block(
    config: RunConfig,
    variables: Mapping[str, Any],
    block_CN: jax.Array,
    first_frame: jax.Array,
    song_frames: jax.Array,
    sequences_per_block: int,
) -> jax.Array:
    """Return the overlap-added voice frames of one block.

    `block_CN` starts L frames before `first_frame`; frames outside the song's 0 … `song_frames` are silence, for the
    model as in training and in what is returned.
    """
    signal, sequences = config.signal, config.sequences
    context, step = sequences.context, sequences.target_frames
    frames = sequences_per_block * step + 2 * context
    spectrum_CMF = analyse_frames(cut_frames(block_CN, frames, signal), signal)
    number_M = first_frame - context + jnp.arange(frames)
    in_song_M1 = ((number_M >= 0) & (number_M < song_frames))[:, None]
    spectrum_CMF = jnp.where(in_song_M1, spectrum_CMF, 0)
    mag_MF = jnp.abs(jnp.mean(spectrum_CMF, axis=0))
    cuts = jnp.arange(sequences_per_block)[:, None] * step + jnp.arange(sequences.frames)
    mag_MF = clip_input(mag_MF, config.loss)
    mag_BSF = mag_MF[cuts]
    separation: Any = build_model(config.model).apply(variables, mag_BSF, train=False)
    voice_MF = separation.voice_BTF.reshape(-1, signal.bins)
    inner = slice(context, frames - context)
    mag_MF = mag_MF[inner]
    mask_MF = jnp.where(mag_MF > 0, voice_MF / jnp.where(mag_MF > 0, mag_MF, 1), 0)
    return overlap_add(synthesise_frames(spectrum_CMF[:, inner] * mask_MF, signal), signal.hop_length)
