"""Songs as files: a folder of sound files, or one of MUSDB18's `.stem.mp4`, five AAC streams each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.songs.tracks import STEMS, Split, TrackAudio, file_stamp, fingerprint_of
from madsep_jax.audio import probe_audio, read_audio
from madsep_jax.audio.reading import decode_streams, probe_streams
from madsep_jax.errors import InputError, shown

#: The endings looked for, in this order: where a stem is there as both, the wav is read.
SUFFIXES = (".wav", ".flac")
STEM_FILE_SUFFIX = ".stem.mp4"

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


@dataclass(frozen=True)
class FolderTrack(_FileTrack):
    """A song whose stems are files, named as the stems are. Without a mixture it is their sum."""

    channels: int
    mixture_path: Path | None
    stem_paths: tuple[Path, ...]

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over each file's name, size and time of change. Raises as `read`."""
        return fingerprint_of("".join(f"{_stamp(path)}\0" for path in self._paths))

    def read(self) -> TrackAudio:
        """Return the samples.

        Raises InputError where a file cannot be read, holds NaN or infinite samples, or is not as it was when found.
        """
        arrays_NC: dict[str, np.ndarray] = {}
        for path in self._paths:
            audio = read_audio(path)
            found = _facts(audio.sample_rate, *audio.samples_NC.shape)
            expected = _facts(self.sample_rate, self.frames, self.channels)
            if found != expected:
                now, before = ", ".join(found), ", ".join(expected)
                raise InputError(f"{shown(path)}: {now}, expected {before} as it was when found")
            arrays_NC[path.stem] = audio.samples_NC
        mixture_NC = arrays_NC.pop("mixture") if self.mixture_path else np.sum(list(arrays_NC.values()), axis=0)
        return TrackAudio(self.sample_rate, mixture_NC, arrays_NC)

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (self.mixture_path, *self.stem_paths) if self.mixture_path else self.stem_paths


@dataclass(frozen=True)
class StemFileTrack(_FileTrack):
    """A song in one `.stem.mp4`; `frames` are about its samples."""

    path: Path

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over the file's name, size and time of change. Raises as `read`."""
        return fingerprint_of(_stamp(self.path))

    def read(self) -> TrackAudio:
        """Return the samples, as long as the shortest stream.

        Raises InputError where the file cannot be decoded, has no samples, or its streams differ in their channels.
        """
        sample_rate, arrays_NC = decode_streams(self.path, len(_STREAMS))
        length = min(len(samples_NC) for samples_NC in arrays_NC)
        channels = sorted({samples_NC.shape[1] for samples_NC in arrays_NC})
        if not length:
            raise InputError(f"{shown(self.path)}: 0 samples, expected at least one")
        if len(channels) > 1:
            raise InputError(f"{shown(self.path)}: streams of {channels[0]} and of {channels[1]} channels")
        streams_NC = {name: samples_NC[:length] for name, samples_NC in zip(_STREAMS, arrays_NC, strict=True)}
        return TrackAudio(sample_rate, streams_NC["mixture"], {stem: streams_NC[stem] for stem in STEMS})


def folder_track(name: str, split: Split, mixture_path: Path | None, stem_paths: tuple[Path, ...]) -> FolderTrack:
    """Return a track of these files. Raises InputError where the headers of two of them do not agree."""
    first_path, *others = (mixture_path, *stem_paths) if mixture_path else stem_paths
    first = probe_audio(first_path)
    expected_facts = _facts(first.sample_rate, first.frames, first.channels)
    for path in others:
        stem = probe_audio(path)
        pairs = zip(_facts(stem.sample_rate, stem.frames, stem.channels), expected_facts, strict=True)
        for found, expected in pairs:
            if found != expected:
                raise InputError(f"{shown(path)}: {found}, expected {expected} like its {first_path.name}")
    return FolderTrack(name, split, first.sample_rate, first.frames, first.channels, mixture_path, stem_paths)


def stem_file_track(path: Path, split: Split) -> StemFileTrack:
    """Return the track in a `.stem.mp4`. Raises InputError where it cannot be read."""
    return StemFileTrack(path.name.removesuffix(STEM_FILE_SUFFIX), split, *probe_streams(path, len(_STREAMS)), path)


def _facts(sample_rate: int, frames: int, channels: int) -> tuple[str, str, str]:
    """Return in words what the files of one track share; the rate comes first, for lengths differ with it."""
    return f"{sample_rate} Hz", f"{channels} channel{'s' if channels > 1 else ''}", f"{frames} samples"


def _stamp(path: Path) -> str:
    try:
        return file_stamp(path, path.name)
    except OSError as e:
        raise InputError(f"{shown(path)}: {e.strerror}, expected the file that was there before") from e
