"""What is known of a sound file, and what of it is missing."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from madsep_jax.errors import InputError, shown, some_of


@dataclass(frozen=True)
class StreamInfo:
    """What a file's header says: rate in Hz, `frames` samples a channel, format and subtype by libsndfile's names.

    `frames` is None where the header states none, or no more than an estimate. The subtype tells how the samples are
    kept: of a lossless codec their depth (PCM_16, ALAC_24, FLOAT, …), of any other the codec (AAC, VORBIS, …).
    """

    sample_rate: int
    channels: int
    frames: int | None
    format: str
    subtype: str


@dataclass(frozen=True)
class AudioInfo(StreamInfo):
    """The same with a number of samples, which was found by decoding where the header does not state it."""

    frames: int


@dataclass(frozen=True)
class Missing:
    """So many seconds of a file could not be decoded; `at_s` is where they are missing in what was.

    The seconds are 0 where nothing tells how many.
    """

    at_s: float
    seconds: float


@dataclass(frozen=True)
class Audio:
    """The samples of a file, float32 (samples N, channels C), ±1 being full scale; the rate is in Hz."""

    samples_NC: np.ndarray
    sample_rate: int
    format: str
    subtype: str
    missing: tuple[Missing, ...] = field(default=())


class UndecodableError(Exception):
    """A library cannot decode a file, or not from here on; the text is the library's reason."""


def missing_line(path: str | os.PathLike[str], missing: Sequence[Missing]) -> str:
    """Return the one line that says how many seconds of a file are missing, and where."""
    places = [f"{f'{part.seconds:.2f} s' if part.seconds else 'a part'} at {part.at_s:.2f} s" for part in missing]
    total = f"{sum(part.seconds for part in missing):.2f} s in all, " if len(missing) > 1 else ""
    return f"{shown(path)}: damaged, or ends early; missing: {total}{some_of(places)}"


def import_package(name: str) -> ModuleType:
    """Return a package of the `audio` extra. Raises InputError where it is not installed."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as e:  # OSError: soundfile is there, libsndfile is not
        raise InputError(f'sound needs the package {name}: pip install "madsep-jax[audio]"') from e
