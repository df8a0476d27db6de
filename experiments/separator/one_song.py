"""One song from its file to its results, in memory that does not grow with its length."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.separator.options import ACCOMPANIMENT, VOICE, SeparateOptions
from experiments.separator.plan import SongPlan
from experiments.separator.separated_files import add_up, check_peaks, most_of, tags_of, written_together
from experiments.separator.trained import Separator
from madsep_jax.audio import Missing, open_audio, open_writer
from madsep_jax.errors import InputError, shown
from madsep_jax.separation import separate_blocks
from madsep_jax.signal.level import How, Survey, how_to_separate
from madsep_jax.signal.windows import SampleQueue

#: Samples that are read at a time.
_BLOCK = 2**17
#: Told how much of a song is done, in percent, and that in words.
OnProgress = Callable[[int, str], None]


@dataclass(frozen=True)
class Pass:
    """What the first pass over a song has found."""

    frames: int
    missing: tuple[Missing, ...]
    beyond: int
    """Samples that exceed what two files of the results can add up to, and are cut."""
    how: How
    opposite_s: tuple[float, float]
    """Where the first passage begins whose channels cancel, and the length of all such."""


@dataclass(frozen=True)
class Done:
    """A song that has been separated."""

    plan: SongPlan
    found: Pass
    seconds: float
    """All that it took, from opening the file to the results in their places."""


def separate_song(plan: SongPlan, separator: Separator, options: SeparateOptions, on_progress: OnProgress) -> Done:
    """Read a song twice, block by block: once to see what it is, then to separate it.

    Raises InputError where it cannot be read, is refused, or the results cannot be written.
    """
    start = time.perf_counter()
    on_progress(0, "reading")
    found = first_pass(plan, separator, options)
    _separate(plan, found, separator, options, on_progress)
    return Done(plan, found, time.perf_counter() - start)


def first_pass(plan: SongPlan, separator: Separator, options: SeparateOptions) -> Pass:
    """Read a song once.

    Raises InputError where it cannot be read, holds what is no sound or too loud for the results, or with `--strict`
    where some of it is missing.
    """
    survey, frames, samples, beyond, peak = Survey(), 0, 0, 0, 0.0
    least, most = most_of(plan.subtype)
    with open_audio(plan.song, options.start, options.duration) as reader:
        for block_NC in reader.blocks(_BLOCK):
            low, high = float(block_NC.min()), float(block_NC.max())
            peak = max(peak, -low, high)
            if low < least or high > most:
                beyond += int(np.count_nonzero((block_NC < least) | (block_NC > most)))
            survey.add(block_NC)
            frames, samples = frames + len(block_NC), samples + block_NC.size
    if options.strict:
        reader.require_whole()
    try:
        check_peaks(beyond, samples, peak, plan.subtype)
    except InputError as error:
        raise InputError(f"{shown(plan.song)}: {error}") from error
    how = how_to_separate(survey, options.separation, separator.training_level)
    first, opposite = survey.opposite
    opposite_s = ((reader.start + first) / reader.info.sample_rate, opposite / reader.info.sample_rate)
    return Pass(frames, reader.missing, beyond, how, opposite_s)


def _separate(
    plan: SongPlan, found: Pass, separator: Separator, options: SeparateOptions, on_progress: OnProgress
) -> None:
    rate, done = plan.info.sample_rate, 0
    with (
        open_audio(plan.song, options.start, options.duration) as reader,
        written_together(options.out, plan.places, plan.stale) as files,
        ExitStack() as stack,
    ):
        settings: dict[str, Any] = {"subtype": plan.subtype, "bitrate": options.bitrate, "frames": found.frames}
        settings |= {"tags": tags_of(reader.tags, options.format), "layout": reader.layout}
        writers = {
            stem: stack.enter_context(open_writer(path, rate, plan.info.channels, **settings))
            for stem, path in files.items()
        }
        mixture = SampleQueue()
        blocks_NC = _kept(reader.blocks(_BLOCK), mixture)
        for part in separate_blocks(separator.config, separator.variables, blocks_NC, rate, how=found.how):
            mixture_NC = mixture.take(len(part.voice_NC))
            if found.beyond:
                mixture_NC = mixture_NC.clip(*most_of(plan.subtype))
            pair = dict(zip((VOICE, ACCOMPANIMENT), add_up(mixture_NC, part.voice_NC, plan.subtype), strict=True))
            for stem, writer in writers.items():
                writer.write(pair[stem])
            done += len(mixture_NC)
            on_progress(100 * done // found.frames, f"{done / rate:.0f} of {found.frames / rate:.0f} s")


def _kept(blocks_NC: Iterable[np.ndarray], queue: SampleQueue) -> Iterator[np.ndarray]:
    """Hand blocks on, and keep them."""
    for block_NC in blocks_NC:
        queue.put(block_NC)
        yield block_NC
