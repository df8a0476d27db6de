"""The options of `madsep separate`."""

import math
import typing
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token

from experiments.cli.options import CodeOptions, Out, Switch, WhichWeights, option_class
from madsep_jax.config.signal import FOR_SONGS, LOSSY, STEMS, Format, SeparationConfig
from madsep_jax.errors import InputError

#: No song has so many seconds.
_LONGEST_S = 1e9
FORMATS: tuple[Format, ...] = typing.get_args(Format)


def _kilobits(_: object, tokens: Sequence[Token]) -> int:
    """Return a bitrate in kbit/s, as 192 or 192k."""
    text = tokens[0].value.casefold().removesuffix("k")
    if not text.isascii() or not text.isdigit() or not 8 <= int(text) <= 1000:
        raise ValueError(f"found {tokens[0].value!r}, expected kbit/s from 8 to 1000, as 192 or 192k")
    return int(text)


@option_class
class SeparateOptions:
    """By what to separate, and what to write where."""

    out: Annotated[Path, Out]
    """Folder of the results. Those of an earlier run are replaced, those in another format too."""

    checkpoint: Path | None = None
    """Folder of a trained separator: a checkpoint, or a row of the ablation (runs/…/rows/…); or a file that madsep
    export wrote. Default: the newest finished row, or imported weights, under runs/."""

    which: WhichWeights = None

    own: CodeOptions = field(default_factory=CodeOptions)

    stems: Literal["both", "vocals", "accompaniment"] = "both"
    """What to write."""

    name: str = "{song}/{stem}.{ext}"
    """Where in the folder each result goes. {song} is the song's name without its ending, {songext} that ending,
    {folder} the folder that the song lies in (from the one that was given on), {stem} vocals or accompaniment,
    {ext} the format."""

    format: Format = "wav"
    """Format of the files. The two add up to the song, but in mp3 and ogg, which are lossy."""

    subtype: Literal["PCM_16", "PCM_24", "PCM_32", "FLOAT"] | None = None
    """Sample format of wav and flac. Default: like the song's, at least 16 bits; 16 bits for lossy songs. Flac holds
    at most 24 bits."""

    bitrate: Annotated[int | None, Parameter(converter=_kilobits)] = None
    """Of mp3 and ogg, in kbit/s, as 192 or 192k. Default: the best that the format offers, up to 320."""

    start: float = 0.0
    """Seconds of each song to leave out at its beginning."""

    duration: float | None = None
    """Seconds of each song to separate. Default: to its end."""

    skip_existing: Annotated[bool, Switch] = False
    """Leave out songs whose results are there already."""

    strict: Annotated[bool, Switch] = False
    """Refuse songs that end early or are damaged. By default what can be read is separated, and a line says how many
    seconds are missing."""

    mask_limit: float | Literal["none"] = FOR_SONGS.mask_limit or "none"
    """The most that the mask may be: with 1 nothing of the voice is louder than in the song. none: as published."""

    level: Literal["training", "song"] = FOR_SONGS.level
    """The level at which the model hears a song: that of its training, to which the song is brought by a gain that is
    taken back afterwards; or the song's own, as published."""

    device: str | None = None
    """Where to compute: cpu, gpu, tpu, or one of several, as gpu:1. Default: the fastest kind that JAX finds."""

    compilation_cache: Annotated[bool, Switch] = False
    """Keep compiled programs in the user's cache folder, so that the next command starts sooner."""

    @property
    def results(self) -> tuple[str, ...]:
        """The stems that are written."""
        return STEMS if self.stems == "both" else (self.stems,)

    @property
    def separation(self) -> SeparationConfig:
        """How the separator is applied."""
        limit = math.inf if self.mask_limit == "none" else self.mask_limit
        return SeparationConfig(mask_limit=limit, level=self.level)

    def __post_init__(self) -> None:
        limit = self.mask_limit
        _require(limit == "none" or limit > 0, "mask-limit", limit, "a number above 0, or none")  # not NaN either
        _require(0 <= self.start <= _LONGEST_S, "start", self.start, f"seconds, 0 or more, at most {_LONGEST_S:g}")
        is_length = self.duration is None or 0 < self.duration <= _LONGEST_S
        _require(is_length, "duration", self.duration, f"seconds, more than 0, at most {_LONGEST_S:g}")
        if self.format in LOSSY:
            _require(self.subtype is None, "subtype", self.subtype, f"no such option, as {self.format} has one alone")
        else:
            _require(self.bitrate is None, "bitrate", self.bitrate, f"no such option, as {self.format} has none")


def _require(holds: bool, name: str, found: object, expected: str) -> None:
    if not holds:
        raise InputError(f"--{name}: found {found}, expected {expected}")
