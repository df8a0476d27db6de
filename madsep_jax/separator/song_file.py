"""One song from its file to the files of its stems, in memory that does not grow with its length."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from madsep_jax.audio import Missing, StreamInfo, open_audio
from madsep_jax.config.signal import Format
from madsep_jax.errors import InputError, shown
from madsep_jax.separation import Separated
from madsep_jax.separator.stem_files import (
    check_format,
    check_peaks,
    default_subtype,
    most_of,
    open_stems,
    tags_of,
)
from madsep_jax.signal.level import How, Survey
from madsep_jax.signal.windows import SampleQueue

#: Samples that are read at a time.
_BLOCK = 2**17


#: Told how far a separation is, in seconds of the song: those that are done, and all.
OnProgress = Callable[[float, float], None]


def ignore(done_s: float, all_s: float) -> None:
    """Take no note."""


@dataclass(frozen=True)
class SongFile:
    """A song in a file, what of it is separated, and what of that is written where."""

    path: Path
    info: StreamInfo
    folder: Path
    """That all results are in, or below."""
    places: Mapping[str, Path]
    """Of the results, by stem: vocals, accompaniment, or both."""
    format: Format
    subtype: str | None
    """None where the format has but one."""
    bitrate: int | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    stale: Collection[Path] = ()
    """Results of an earlier run, in other formats, that are deleted."""


def song_file(
    path: Path,
    folder: Path,
    places: Mapping[str, Path],
    *,
    format: Format = "wav",
    subtype: str | None = None,
    bitrate: int | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    stale: Collection[Path] = (),
) -> SongFile:
    """Return what becomes of a song; its sample format is like the song's where none is given.

    Raises InputError where the song cannot be read, or the format cannot hold it.
    """
    with open_audio(path) as reader:
        info = reader.info
    subtype = subtype or default_subtype(info.subtype, format)
    check_format(path, info, format, subtype, bitrate)
    return SongFile(path, info, folder, places, format, subtype, bitrate, start_s, duration_s, stale)


@dataclass(frozen=True)
class SeparatedFile:
    """What was found of a song before it was separated, and the files of its stems."""

    files: Mapping[str, Path]
    """By stem."""
    frames: int
    """Samples."""
    missing: tuple[Missing, ...]
    """What of the file could not be decoded, and is not in the results."""
    beyond: int
    """Samples that exceed what two files of the results can add up to, and are cut."""
    how: How
    opposite_s: tuple[float, float]
    """Where the first passage begins whose channels cancel, and the length of all such."""


class Separating(Protocol):
    """What `separate_file` needs of a `madsep_jax.Separator`."""

    def how_of(self, survey: Survey) -> How:
        """Return how the song of a survey is separated."""

    def pieces(self, blocks_NC: Iterable[np.ndarray], sample_rate: int, how: How) -> Iterator[Separated]:
        """Separate a song in blocks."""


def separate_file(
    song: SongFile,
    separator: Separating,
    on_progress: OnProgress = ignore,
    *,
    strict: bool = False,
    finishing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> SeparatedFile:
    """Read a song twice, block by block: once to see what it is, then to separate it.

    With `strict`, a song of which some is missing is refused. The files take their places within `finishing`. Raises
    InputError where the song cannot be read, is refused, or the results cannot be written.
    """
    found = first_pass(song, separator, strict=strict)
    _separate(song, found, separator, on_progress, finishing)
    return found


def first_pass(song: SongFile, separator: Separating, *, strict: bool = False) -> SeparatedFile:
    """Read a song once.

    Raises InputError where it cannot be read, holds what is no sound or too loud for the results, or with `strict`
    where some of it is missing.
    """
    survey, frames, samples, beyond, peak = Survey(), 0, 0, 0, 0.0
    least, most = most_of(song.subtype)
    with open_audio(song.path, song.start_s, song.duration_s) as reader:
        for block_NC in reader.blocks(_BLOCK):
            low, high = float(block_NC.min()), float(block_NC.max())
            peak = max(peak, -low, high)
            if low < least or high > most:
                beyond += int(np.count_nonzero((block_NC < least) | (block_NC > most)))
            survey.add(block_NC)
            frames, samples = frames + len(block_NC), samples + block_NC.size
    if strict:
        reader.require_whole()
    try:
        check_peaks(beyond, samples, peak, song.subtype)
    except InputError as error:
        raise InputError(f"{shown(song.path)}: {error}") from error
    first, opposite = survey.opposite
    opposite_s = ((reader.start + first) / reader.info.sample_rate, opposite / reader.info.sample_rate)
    return SeparatedFile(song.places, frames, reader.missing, beyond, separator.how_of(survey), opposite_s)


def _separate(
    song: SongFile,
    found: SeparatedFile,
    separator: Separating,
    on_progress: OnProgress,
    finishing: Callable[[], AbstractContextManager[None]],
) -> None:
    rate, done, mixture = song.info.sample_rate, 0, SampleQueue()
    settings: dict[str, Any] = {"subtype": song.subtype, "bitrate": song.bitrate, "frames": found.frames}
    settings |= {"stale": song.stale, "finishing": finishing}
    with open_audio(song.path, song.start_s, song.duration_s) as reader:
        settings |= {"tags": tags_of(reader.tags, song.format), "layout": reader.layout}
        with open_stems(song.folder, song.places, rate, song.info.channels, **settings) as write:
            for part in separator.pieces(_kept(reader.blocks(_BLOCK), mixture), rate, found.how):
                done += len(part.voice_NC)
                write(mixture.take(len(part.voice_NC)), part.voice_NC)
                on_progress(done / rate, found.frames / rate)


def _kept(blocks_NC: Iterable[np.ndarray], queue: SampleQueue) -> Iterator[np.ndarray]:
    """Hand blocks on, and keep them."""
    for block_NC in blocks_NC:
        queue.put(block_NC)
        yield block_NC
