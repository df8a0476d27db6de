"""Read sound files block by block, to their real end, in memory that does not grow with their length."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np

from madsep_jax.audio.ffmpeg import FfmpegSource
from madsep_jax.audio.info import Audio, AudioInfo, Missing, StreamInfo, UndecodableError, missing_line
from madsep_jax.audio.sources import check_file, layout_of, open_source
from madsep_jax.errors import InputError, shown

_BLOCK = 65536


class AudioReader:
    """One sound file, or `frames` samples of it from `start` on (fewer where it ends first; None: to its end).

    Attributes:
        info: what the header says; `frames` is None where only decoding would tell.
        tags: title, artist, album, … by libsndfile's names.
        layout: FFmpeg's name of the places of the channels ("stereo", "5.1(side)"); None: not known.
        missing: what of the range could not be decoded, complete after the last block.
    """

    def __init__(self, path: Path, file: FileIO, stream: int = 0) -> None:
        """Find out who can decode the file. Raises InputError where nobody can, or it has no samples."""
        self._path, self._file = path, file
        self._source = open_source(path, file, stream)
        self.info: StreamInfo = self._source.info
        self.tags: dict[str, str] = self._source.tags
        self.layout = layout_of(self._source, file)
        self.start = 0
        self.frames: int | None = None
        self.missing: tuple[Missing, ...] = ()

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """Yield the samples, float32 (samples N, channels C), in blocks of `samples`; the last may be shorter.

        ±1 is full scale: integers are divided by 2^(bits-1); 32-bit integers and doubles are rounded to float32.
        Damage does not end the file: what can be decoded follows at once, and `missing` says what is not there.
        May be called again, to begin anew.

        Raises:
            InputError: there are no samples at `start`; at the end, where some were NaN or infinite.
        """
        at, bad, first_s = self.start, 0, 0.0
        for block_NC in _regrouped(self._range(), samples):
            bad_NC = ~np.isfinite(block_NC)
            if bad_NC.any():
                first_s = first_s if bad else (at + int(bad_NC.any(axis=1).argmax())) / self.info.sample_rate
                bad += int(np.count_nonzero(bad_NC))
            at += len(block_NC)
            if not bad:
                yield block_NC
        if bad:
            raise InputError(
                f"{shown(self._path)}: {bad} NaN or infinite samples, the first at {first_s:.6f} s, "
                "expected finite samples"
            )
        if at == self.start:
            found, expected = self._source.position, f"more than {at}" if at else "at least one"
            raise InputError(f"{shown(self._path)}: {found} samples, expected {expected}")

    @property
    def about_s(self) -> float | None:
        """The seconds of the whole file by its header, which may be an estimate; None where that states none."""
        if self.info.frames:
            return self.info.frames / self.info.sample_rate
        return self._source.about_s if isinstance(self._source, FfmpegSource) else None

    def require_whole(self) -> None:
        """Raise InputError where some of what has been read was missing."""
        if self.missing:
            raise InputError(f"{missing_line(self._path, self.missing)}; expected all of it")

    def _range(self) -> Iterator[np.ndarray]:
        """Yield the range in blocks of any length, then note what is missing of it."""
        left, reached_end = self.frames, False
        try:
            for block_NC in self._source.decode(self.start):
                yield block_NC[:left]
                if left is not None:
                    left = max(left - len(block_NC), 0)
                    if not left:
                        break
            else:
                reached_end = True
        except UndecodableError:  # what can be decoded ends here
            reached_end = True
        missing = self._source.missing() if reached_end else tuple(self._source.found)
        self.missing = tuple(part for part in missing if part.at_s * self.info.sample_rate >= self.start)


@contextmanager
def open_audio(
    path: str | os.PathLike[str], start_s: float = 0.0, duration_s: float | None = None, *, stream: int = 0
) -> Iterator[AudioReader]:
    """Open a sound file, or `duration_s` seconds of it from `start_s` on, for reading block by block.

    Everything that libsndfile and FFmpeg decode, found by content and not by name. `stream` counts the sound streams
    of a file that has several, a film or a `.stem.mp4`.

    Raises:
        InputError: the file is missing, a folder, empty, not audio, or has no samples.
    """
    path = Path(path)
    check_file(path)
    with path.open("rb", buffering=0) as file:
        reader = AudioReader(path, file, stream)
        reader.start = round(start_s * reader.info.sample_rate)
        reader.frames = None if duration_s is None else max(round(duration_s * reader.info.sample_rate), 1)
        yield reader


def probe_audio(path: str | os.PathLike[str]) -> AudioInfo:
    """Return what a file's header says; where that states no exact length, the file is decoded.

    Raises:
        InputError: the file is missing, a folder, empty, not audio, or has no samples.
    """
    with open_audio(path) as reader:
        info = reader.info
        frames = info.frames or sum(len(block_NC) for block_NC in reader.blocks(_BLOCK))
    return AudioInfo(info.sample_rate, info.channels, frames, info.format, info.subtype)


def read_audio(
    path: str | os.PathLike[str], *, start: int = 0, frames: int = -1, strict: bool = False, stream: int = 0
) -> Audio:
    """Read a file, or `frames` samples of it (-1: to its end; fewer where it ends first) from `start` on.

    Raises:
        InputError: the file is missing, a folder, empty, not audio, has no samples at `start`, or holds samples that
            are NaN or infinite. With `strict` also where it is damaged or ends early: `missing` is empty then.
        ValueError: `start` is negative, or `frames` is neither -1 nor positive.
    """
    if start < 0 or not (frames == -1 or frames > 0):
        raise ValueError(f"start={start}, frames={frames}: expected start >= 0 and frames -1 or positive")
    with open_audio(path, stream=stream) as reader:
        reader.start, reader.frames = start, None if frames == -1 else frames
        samples_NC = np.concatenate(list(reader.blocks(_BLOCK)))
    if strict:
        reader.require_whole()
    info = reader.info
    return Audio(samples_NC, info.sample_rate, info.format, info.subtype, reader.missing)


def _regrouped(blocks: Iterator[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Yield blocks of so many samples, the last of what is left, from blocks of any length."""
    kept: list[np.ndarray] = []
    count = 0
    for block_NC in blocks:
        kept.append(block_NC)
        count += len(block_NC)
        if count >= samples:
            all_NC = np.concatenate(kept)
            whole = count - count % samples
            yield from (all_NC[at : at + samples] for at in range(0, whole, samples))
            kept, count = [all_NC[whole:]], count - whole
    if count:
        yield np.concatenate(kept)
