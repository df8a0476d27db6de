"""Songs as files: a folder of sound files, or one of MUSDB18's `.stem.mp4`, five AAC streams each."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.songs.contents import content_of, frames_of
from data_pipelines.songs.names import STEM_FILE_ENDING, composed
from data_pipelines.songs.tracks import STEMS, Split, TrackAudio, fingerprint_of
from madsep_jax.audio import open_audio, probe_audio, read_audio
from madsep_jax.errors import InputError, shown

#: The files of a song may differ in length by so many seconds; they are cut to the shortest.
MOST_DIFFERENCE_S = 0.1

#: The order of the streams in a `.stem.mp4`.
_STREAMS = ("mixture", "drums", "bass", "other", "vocals")


@dataclass(frozen=True)
class _FileTrack:
    """A song of so many samples at a rate in Hz."""

    name: str
    split: Split
    sample_rate: int
    frames: int

    @property
    def duration_s(self) -> float:
        """Seconds; of a `.stem.mp4` right to a hundredth."""
        return self.frames / self.sample_rate


class _Stems(Mapping[str, np.ndarray]):
    """Samples of stems, each read once, when it is asked for."""

    def __init__(self, names: Sequence[str], read: Callable[[str], np.ndarray]) -> None:
        self._names, self._read = names, functools.cache(read)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class FolderTrack(_FileTrack):
    """A song of files by what they are: vocals, and a mixture, an accompaniment or other stems. Cut to the shortest.

    Without a mixture it is the sum of the others.
    """

    channels: int
    files: Mapping[str, Path]

    @property
    def stems(self) -> tuple[str, ...]:
        """All but the mixture."""
        return tuple(name for name in self.files if name != "mixture")

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over what each file is and its content, wherever it lies.

        Raises InputError where a file cannot be used; what was found whole is not read again until it changes.
        """
        content = content_of(list(self.files.values()), self._check)
        return fingerprint_of("\0".join([*self.files, content]))

    def read(self) -> TrackAudio:
        """Return the samples; of a song with a mixture those of a stem other than the voice when they are asked for.

        Raises InputError, then too, where a file cannot be read, holds NaN or infinite samples, or is not as it was
        when found.
        """
        stems_NC = _Stems(self.stems, lambda name: self._read(self.files[name]))
        if "mixture" in self.files:
            mixture_NC, _ = self._read(self.files["mixture"]), stems_NC["vocals"]
            return TrackAudio(self.sample_rate, mixture_NC, stems_NC)
        mixture_NC = np.sum(list(stems_NC.values()), axis=0)
        return TrackAudio(self.sample_rate, mixture_NC, stems_NC, is_sum=True)

    def _check(self) -> None:
        for path in self.files.values():
            info, frames = frames_of(path)
            self._require_as_found(path, info.sample_rate, info.channels, frames)

    def _read(self, path: Path) -> np.ndarray:
        audio = read_audio(path, strict=True)
        frames, channels = audio.samples_NC.shape
        self._require_as_found(path, audio.sample_rate, channels, frames)
        return audio.samples_NC[: self.frames]

    def _require_as_found(self, path: Path, sample_rate: int, channels: int, frames: int) -> None:
        found, expected = (sample_rate, channels), (self.sample_rate, self.channels)
        if found != expected or not 0 <= frames - self.frames <= MOST_DIFFERENCE_S * self.sample_rate:
            now, before = ", ".join(_facts(*found, frames)), ", ".join(_facts(*expected, self.frames))
            raise InputError(f"{shown(path)}: {now}, expected {before} as it was when found")


@dataclass(frozen=True)
class StemFileTrack(_FileTrack):
    """A song in one `.stem.mp4`; `frames` are about its samples."""

    path: Path

    channels = None
    stems = STEMS

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over the file's content. Raises as `FolderTrack.fingerprint`."""
        return fingerprint_of(content_of([self.path], self._check))

    def read(self) -> TrackAudio:
        """Return the samples, as long as the shortest stream.

        Raises InputError where the file cannot be decoded, has no samples, or its streams differ in their channels or,
        by more than a tenth of a second, in their lengths.
        """
        streams = [read_audio(self.path, stream=number, strict=True) for number in range(len(_STREAMS))]
        self._require_alike([stream.samples_NC.shape for stream in streams])
        shortest = min(len(stream.samples_NC) for stream in streams)
        streams_NC = {name: stream.samples_NC[:shortest] for name, stream in zip(_STREAMS, streams, strict=True)}
        return TrackAudio(streams[0].sample_rate, streams_NC["mixture"], {stem: streams_NC[stem] for stem in STEMS})

    def _check(self) -> None:
        found = [frames_of(self.path, stream) for stream in range(len(_STREAMS))]
        self._require_alike([(frames, info.channels) for info, frames in found])

    def _require_alike(self, shapes: Sequence[tuple[int, ...]]) -> None:
        lengths, channels = sorted(shape[0] for shape in shapes), sorted({shape[1] for shape in shapes})
        if not lengths[0]:
            raise InputError(f"{shown(self.path)}: 0 samples, expected at least one")
        if len(channels) > 1:
            raise InputError(f"{shown(self.path)}: streams of {channels[0]} and of {channels[1]} channels")
        if lengths[-1] - lengths[0] > MOST_DIFFERENCE_S * self.sample_rate:
            raise InputError(f"{shown(self.path)}: streams of {lengths[0]} and of {lengths[-1]} samples")


def folder_track(name: str, split: Split, files: Mapping[str, Path]) -> tuple[FolderTrack, str]:
    """Return a track of these files, the first of which the others are compared with, and how they are cut ("": not).

    Raises InputError where the headers of two of them do not agree.
    """
    first_path = next(iter(files.values()))
    found = {path: probe_audio(path) for path in files.values()}
    first = found[first_path]
    for path, info in found.items():
        pairs = list(zip(*(_facts(one.sample_rate, one.channels, one.frames) for one in (info, first)), strict=True))
        if abs(info.frames - first.frames) <= MOST_DIFFERENCE_S * first.sample_rate:
            pairs.pop()
        for mine, expected in pairs:
            if mine != expected:
                raise InputError(f"{shown(path)}: {mine}, expected {expected} like its {shown(first_path.name)}")
    shortest, longest = (choose(found, key=lambda path: found[path].frames) for choose in (min, max))
    frames, more = found[shortest].frames, found[longest].frames - found[shortest].frames
    if more > MOST_DIFFERENCE_S * first.sample_rate:
        raise InputError(f"{shown(longest)}: {more} samples more than {shown(shortest.name)}, expected one length")
    cut = f"{shown(longest)}: {more} samples longer than {shown(shortest.name)}, all are cut to that" if more else ""
    return FolderTrack(composed(name), split, first.sample_rate, frames, first.channels, files), cut


def stem_file_track(path: Path, split: Split) -> StemFileTrack:
    """Return the track in a `.stem.mp4`. Raises InputError where it cannot be read."""
    name = composed(path.name[: -len(STEM_FILE_ENDING)])
    with open_audio(path, stream=len(_STREAMS) - 1) as reader:  # the last one: so all are there
        rate = reader.info.sample_rate
        return StemFileTrack(name, split, rate, round((reader.about_s or 0) * rate), path)


def _facts(sample_rate: int, channels: int, frames: int) -> tuple[str, str, str]:
    """Return in words what the files of one track share; the rate comes first, for lengths differ with it."""
    return f"{sample_rate} Hz", f"{channels} channel{'s' if channels > 1 else ''}", f"{frames} samples"
