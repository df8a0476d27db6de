"""The files of a separated song: their sample format, their sum, and that they appear together."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from madsep_jax.audio import FLOAT_SUBTYPES, PCM_BITS, StreamInfo, open_writer
from madsep_jax.audio.info import import_package
from madsep_jax.config.signal import LOSSY, STEMS
from madsep_jax.errors import InputError, shown
from madsep_jax.host.files import aside_of

#: Sample formats of input files that need more than 16 bits; every other one, the lossy ones included, gets 16.
_SUBTYPES = {
    **dict.fromkeys(("PCM_24", "ALAC_20", "ALAC_24", "DWVW_24"), "PCM_24"),
    **dict.fromkeys(("PCM_32", "ALAC_32"), "PCM_32"),
    **dict.fromkeys(FLOAT_SUBTYPES, "FLOAT"),
}
#: The share of a song's samples that may be cut.
_CUT = 0.001
#: Samples so far beyond full scale are no sound; the powers of their spectra would not be finite.
_MOST = 1e12
_MADE_BY = "madsep separate"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def default_subtype(subtype: str, format: str) -> str | None:
    """Return the sample format of the output for that of the input; flac holds at most 24 bits, lossy ones have none.

    None stands for the format's only one.
    """
    if format in LOSSY:
        return None
    found = _SUBTYPES.get(subtype, "PCM_16")
    return "PCM_24" if format == "flac" and found in ("PCM_32", "FLOAT") else found


def tags_of(song_tags: Mapping[str, str], format: str) -> dict[str, str]:
    """Return the tags of a result: the song's, and what made it; mp3 has no place for that but the comment's end."""
    if format != "mp3":
        return {"software": _MADE_BY, **song_tags}
    comment = song_tags.get("comment", "").removesuffix(_MADE_BY).strip()
    return {**song_tags, "comment": f"{comment} {_MADE_BY}".strip()}


def is_result(path: Path) -> bool:
    """Whether a file is the result of a separation, as its tags tell."""
    soundfile = import_package("soundfile")
    try:
        with soundfile.SoundFile(path) as file:
            return file.comment.endswith(_MADE_BY) or file.software.startswith(_MADE_BY)
    except (soundfile.SoundFileError, OSError):
        return False


def check_format(song: Path, info: StreamInfo, format: str, subtype: str | None, bitrate: int | None) -> None:
    """Raise InputError where a file of this format cannot hold a song of this rate and so many channels."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / f"trial.{format}"
        try:
            with open_writer(trial, info.sample_rate, info.channels, subtype=subtype, bitrate=bitrate) as writer:
                writer.write(np.zeros((1, info.channels), np.float32))
        except InputError as error:
            raise InputError(str(error).replace(shown(trial), f"{shown(song)} as {format}")) from error


def most_of(subtype: str | None) -> tuple[float, float]:
    """Return the least and the largest sample that two such files can add up to: of integers, twice full scale."""
    return (-_MOST, _MOST) if subtype in FLOAT_SUBTYPES else (-2.0, 2.0 * _full_scale(subtype)[1])


def check_peaks(beyond: int, samples: int, peak: float, subtype: str | None) -> None:
    """Raise InputError where too many samples of a song exceed `most_of`: a few, as of damaged files, are cut there."""
    if not peak < _MOST:
        raise InputError(f"found samples of {peak:g} times full scale, expected sound, at most {_MOST:g}")
    if beyond > samples * _CUT:
        raise InputError(
            f"found samples of {peak:.3g} times full scale, expected at most 2 for {subtype or 'a lossy format'} "
            "(--format wav --subtype FLOAT holds more)"
        )


def add_up(mixture_NC: np.ndarray, voice_NC: np.ndarray, subtype: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return voice and accompaniment, which add up to the mixture (float32) as files of this subtype too.

    For an integer subtype the voice takes the values that the file can hold, and only such that what is left of the
    mixture does not exceed full scale (±1); so the two add up to within half a code of any mixture within `most_of`.
    For lossy formats, None, they are within full scale. The subtype is libsndfile's name: PCM_16, PCM_24, ….
    """
    if subtype in FLOAT_SUBTYPES:
        return voice_NC, mixture_NC - voice_NC
    codes, high = _full_scale(subtype)
    # Sixteen bits, and what is left of a sample of so many, fit into float32; a difference of more bits does not.
    kind = np.dtype(np.float32 if codes <= 2**15 else np.float64)
    if subtype is not None:
        voice_NC = np.multiply(voice_NC, codes, dtype=kind)
        voice_NC = np.rint(voice_NC, out=voice_NC)
        voice_NC /= codes
    least_NC = np.maximum(np.subtract(mixture_NC, high, dtype=kind), -1)
    most_NC = np.minimum(np.add(mixture_NC, 1, dtype=kind), high)
    voice_NC = np.minimum(np.maximum(voice_NC, least_NC, out=least_NC), most_NC, out=most_NC)
    return voice_NC, np.subtract(mixture_NC, voice_NC, dtype=np.float64)


def _full_scale(subtype: str | None) -> tuple[float, float]:
    """Return the codes from 0 to full scale, and the largest sample."""
    codes = 2.0 ** (PCM_BITS[subtype] - 1) if subtype else 1.0
    return codes, 1.0 - 1.0 / codes if subtype else 1.0


@contextmanager
def open_stems(
    folder: Path,
    places: Mapping[str, Path],
    sample_rate: int,
    channels: int,
    *,
    subtype: str | None,
    stale: Collection[Path] = (),
    finishing: Callable[[], AbstractContextManager[None]] = nullcontext,
    **settings: Any,
) -> Iterator[Callable[[np.ndarray, np.ndarray], None]]:
    """Yield what takes mixture and voice (N, channels), piece after piece, and writes the stems that have places.

    Samples of the mixture beyond `most_of` are cut. Other arguments are those of `written_together` and `open_writer`.
    """
    with written_together(folder, places, stale, finishing) as files, ExitStack() as stack:
        writers = {
            stem: stack.enter_context(open_writer(path, sample_rate, channels, subtype=subtype, **settings))
            for stem, path in files.items()
        }

        def write(mixture_NC: np.ndarray, voice_NC: np.ndarray) -> None:
            pair = add_up(mixture_NC.clip(*most_of(subtype)), voice_NC, subtype)
            for stem, samples_NC in zip(STEMS, pair, strict=True):
                if stem in writers:
                    writers[stem].write(samples_NC)

        yield write


@contextmanager
def written_together(
    out: Path,
    places: Mapping[str, Path],
    stale: Collection[Path] = (),
    finishing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[dict[str, Path]]:
    """Yield where to write the files that are to stand at these places: aside, in a hidden folder of `out`.

    At the end each is renamed into its place, where it replaces that of an earlier run, and the stale ones are deleted:
    within `finishing`, so that a command can see to it that all of them are, or none.
    Raises InputError, naming the place, where folder or disk do not take them; what was there before stays.
    """
    first = next(iter(places.values()))
    aside = aside_of(out / first.relative_to(out).parts[0])
    files = {stem: aside / f"{stem}{place.suffix}" for stem, place in places.items()}
    try:
        with _written(first):
            aside.mkdir(parents=True, exist_ok=True)
        yield files
        for place in places.values():
            with _written(place):
                place.parent.mkdir(parents=True, exist_ok=True)
        with finishing():
            for stem, place in places.items():
                with _written(place):
                    os.replace(files[stem], place)
            for path in stale:
                with _written(path):
                    path.unlink(missing_ok=True)
    except InputError as error:
        line = str(error)
        for stem, place in places.items():
            line = line.replace(shown(files[stem]), shown(place))
        raise InputError(line) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _written(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{shown(place)}: cannot be written ({error.strerror}), expected room for it") from error


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error comes of a disk, or a share of one, that has no room left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False
