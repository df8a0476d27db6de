"""Separate a song of any length, rate and number of channels into voice and accompaniment.

The song goes through the model in blocks of one fixed shape, so that one compilation serves songs of every length.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.audio.resampling import resample_blocks
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import TrainingConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import build_model
from madsep_jax.models.registry import architecture_of
from madsep_jax.models.variables import inference_variables
from madsep_jax.ops.choice import target_of
from madsep_jax.ops.precision import computing_in
from madsep_jax.signal.level import AS_PUBLISHED, How
from madsep_jax.signal.stft import analyse_frames, cut_frames, overlap_add, synthesise_frames
from madsep_jax.signal.windows import SampleQueue, Window, cut_windows, join_windows
from madsep_jax.train.batch import clip_input

#: Frames that go through the model at once where its masker asks for no fewer (mad on two CPU cores: real-time factor
#: 0.119 with 40, 0.047 with 320).
_MANY_FRAMES = 320

#: Samples of the song that go on at a time, whatever the length of the blocks that it comes in.
_PIECE = 2**16

#: An array with more columns than these, and than rows, is a song that lies on its side.
_MOST_CHANNELS = 64


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
    how: How = AS_PUBLISHED,
    sequences_per_block: int | None = None,
    on_piece: Callable[[int], None] = lambda samples: None,
) -> Separated:
    """Return a song's singing voice and its accompaniment (= mixture - voice), of the shape and rate of the mixture.

    The model reads the average of the channels; its mask is applied to each channel, with the mixture's phase.

    Args:
        config: of the trained model, as `madsep_jax.checkpoint.folder.load_model` returns it.
        variables: the trained weights.
        mixture_NC: the song's samples (N, channels), ±1 being full scale; those of int16 are divided by 2¹⁵.
        sample_rate: of the song, Hz. Other rates than the model's are resampled for the model and back.
        how: by default as published.
        sequences_per_block: sequences that the model processes at once; decides the memory needed. None for a number
            that suits the model and the device.
        on_piece: called with the number of samples that are done, after each of the model's blocks.

    Raises:
        ValueError: where the mixture is not a two-dimensional array (N, channels) of finite numbers.
    """
    mixture_NC = as_song(mixture_NC)
    separated = Separated(np.empty_like(mixture_NC), np.empty_like(mixture_NC))
    pieces = separate_blocks(
        config, variables, [mixture_NC], sample_rate, how=how, sequences_per_block=sequences_per_block
    )
    start = 0
    for piece in pieces:
        for whole_NC, piece_NC in zip(separated, piece, strict=True):
            whole_NC[start : start + len(piece_NC)] = piece_NC
        start += len(piece.voice_NC)
        on_piece(start)
    return separated


def separate_blocks(
    config: RunConfig,
    variables: Mapping[str, Any],
    blocks_NC: Iterable[np.ndarray],
    sample_rate: int,
    *,
    how: How = AS_PUBLISHED,
    sequences_per_block: int | None = None,
    at_once: bool = False,
) -> Iterator[Separated]:
    """Separate a song that comes in blocks, of any lengths, in memory that does not grow with the song.

    The pieces are what `separate` returns of the whole song, cut elsewhere than the blocks. While the model works on
    one of its own blocks, the next is read and resampled; but with `at_once` each piece is yielded before any more is
    read (`madsep_jax.Separator.latency`). Arguments and errors are otherwise those of `separate`.
    """
    if sequences_per_block is None:
        sequences_per_block = suitable_sequences_per_block(config)
    if sequences_per_block < 1:
        raise ValueError(f"sequences_per_block: found {sequences_per_block}, expected 1 or more")
    mixture = SampleQueue()

    def heard_NC() -> Iterator[np.ndarray]:
        for block_NC in blocks_NC:
            block_NC = as_song(block_NC)
            for start in range(0, len(block_NC), _PIECE):
                piece_NC = block_NC[start : start + _PIECE].copy()  # the next block may come in the same buffer
                mixture.put(piece_NC)
                yield piece_NC

    model_rate = config.signal.sample_rate
    frames = sequences_per_block * config.sequences.target_frames
    blocks_at_rate_NC = resample_blocks(heard_NC(), sample_rate, model_rate)
    windows = cut_windows(blocks_at_rate_NC, frames, config.sequences.context, config.signal)
    parts = _estimated(config, variables, windows, how, sequences_per_block, at_once)
    voice_blocks_NC = join_windows(parts, config.signal)
    for voice_NC in resample_blocks(voice_blocks_NC, model_rate, sample_rate):
        voice_NC = voice_NC[: mixture.count]  # there and back may differ by a sample
        yield Separated(voice_NC, mixture.take(len(voice_NC)) - voice_NC)
    if mixture.count:
        mixture_NC = mixture.take(mixture.count)
        yield Separated(np.zeros_like(mixture_NC), mixture_NC)


def as_song(samples_NC: np.ndarray) -> np.ndarray:
    """Return a song's samples as float32. Raises ValueError where they are not finite ones (N, channels)."""
    samples_NC = np.asarray(samples_NC)
    shape, kind = samples_NC.shape, samples_NC.dtype
    if kind == np.int16:
        samples_NC = samples_NC / np.float32(2**15)
    elif not np.issubdtype(kind, np.floating):
        raise ValueError(f"mixture_NC: found {kind} {shape}, expected floating point with ±1 as full scale, or int16")
    if len(shape) == 2 and not 0 < shape[1] <= max(shape[0], _MOST_CHANNELS):
        raise ValueError(f"mixture_NC: found shape {shape}, expected (N, channels): a row for each sample")
    with np.errstate(over="ignore"):
        samples_NC = samples_NC.astype(np.float32, copy=False)
    if len(shape) != 2 or not np.isfinite(samples_NC).all():
        raise ValueError(f"mixture_NC: found shape {shape}, expected finite samples (N, channels)")
    return samples_NC


def suitable_sequences_per_block(config: RunConfig) -> int:
    """Return how many sequences are best separated at once."""
    frames = architecture_of(config.masker).frames_at_once.get(target_of(config.compute), _MANY_FRAMES)
    return max(frames // config.sequences.target_frames, 1)


def _estimated(
    config: RunConfig,
    variables: Mapping[str, Any],
    windows: Iterable[Window],
    how: How,
    sequences_per_block: int,
    at_once: bool,
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the voice's overlapping parts; unless each is wanted at once, the device works while the next is made."""
    variables = inference_variables(config, variables)
    config = dataclasses.replace(config, training=TrainingConfig())  # seeds share a program, which asks for none of it
    separate_block = _jitted_block(target_of(config.compute))
    limit = np.float32(np.inf if how.mask_limit is None else how.mask_limit)
    gain = np.float32(how.gain)
    before: tuple[Window, jax.Array] | None = None
    for window in windows:
        samples_CN, place = window.samples_CN * gain, (window.first_frame, window.song_frames)
        if before:
            before[1].block_until_ready()  # two at once would take each other's caches
        part_CN = separate_block(config, variables, samples_CN, *place, limit, sequences_per_block, how.each_channel)
        if before:
            yield before[0], np.asarray(before[1]) / gain
        before = window, part_CN
        if at_once:
            yield window, np.asarray(part_CN) / gain
            before = None
    if before:
        yield before[0], np.asarray(before[1]) / gain


@functools.cache
def _jitted_block(target: str) -> Any:
    """Jit when it is needed: the target, whose options it takes, is not known before."""
    static = ("config", "sequences_per_block", "each_channel")
    return jax.jit(_separate_block, static_argnames=static, compiler_options=compiler_options(target))


def _separate_block(
    config: RunConfig,
    variables: Mapping[str, Any],
    block_CN: jax.Array,
    first_frame: jax.Array,
    song_frames: jax.Array,
    mask_limit: jax.Array,
    sequences_per_block: int,
    each_channel: bool,
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
    inner = slice(context, frames - context)
    cuts = jnp.arange(sequences_per_block)[:, None] * step + jnp.arange(sequences.frames)

    def mask_of(heard_MF: jax.Array) -> jax.Array:
        mag_MF = clip_input(jnp.abs(heard_MF), config.loss)
        with computing_in(config.compute, "float32"):
            separation: Any = build_model(config.model).apply(variables, mag_MF[cuts], train=False)
        voice_MF, mag_MF = separation.voice_BTF.reshape(-1, signal.bins), mag_MF[inner]
        return jnp.minimum(jnp.where(mag_MF > 0, voice_MF / jnp.where(mag_MF > 0, mag_MF, 1), 0), mask_limit)

    # one channel after the other: the memory is that of one
    mask = jax.lax.map(mask_of, spectrum_CMF) if each_channel else mask_of(jnp.mean(spectrum_CMF, axis=0))
    return overlap_add(synthesise_frames(spectrum_CMF[:, inner] * mask, signal), signal.hop_length)
