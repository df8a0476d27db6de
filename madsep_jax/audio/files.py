"""Sound files in and out, other sampling rates. Functions that need the `audio` extra say so where it is missing."""

import importlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from madsep_jax.audio import mp4
from madsep_jax.errors import InputError, did_you_mean, shown
from madsep_jax.host.files import written_aside

#: The bits of the integer subtypes, which `write_audio` rounds and saturates itself.
PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")  # written as they are

#: libsndfile states such a length (12 days at 1 MHz) where the header has none.
_UNKNOWN_FRAMES = 2**40
_EXPECTED = "expected an audio file (wav, flac, ogg, mp3, m4a)"


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: rate in Hz, `frames` samples a channel, libsndfile's format and subtype."""

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str


@dataclass(frozen=True)
class Audio:
    """The samples of a file, float32 (samples N, channels C), ±1 being full scale; the rate is in Hz."""

    samples_NC: np.ndarray
    sample_rate: int
    format: str
    subtype: str


def probe_audio(path: str | os.PathLike[str]) -> AudioInfo:
    """Return what a file's header says, without reading its samples.

    Raises:
        InputError: the file is missing, a folder, empty, not audio, or its header states no samples.
    """
    with _opened(Path(path)) as (_, info):
        return info


def read_audio(path: str | os.PathLike[str], *, start: int = 0, frames: int = -1) -> Audio:
    """Read a file, or `frames` samples of it (-1: to its end; fewer where it ends first) from `start` on.

    Everything that libsndfile reads (wav, flac, ogg, mp3 and more), and mp4 and m4a. Integers are divided by
    2^(bits-1); 32-bit integers and doubles are rounded to float32.

    Raises:
        InputError: the file is missing, a folder, empty, not audio, cut short, has no samples at `start`, or
            holds samples that are NaN or infinite.
        ValueError: `start` is negative, or `frames` is neither -1 nor positive.
    """
    if start < 0 or not (frames == -1 or frames > 0):
        raise ValueError(f"start={start}, frames={frames}: expected start >= 0 and frames -1 or positive")
    name = shown(path)
    with _opened(Path(path)) as (file, info):
        if start >= info.frames:
            raise InputError(f"{name}: {info.frames} samples, expected more than {start}")
        wanted = info.frames - start if frames == -1 else min(frames, info.frames - start)
        file.seek(start)
        samples_NC = file.read(wanted, dtype="float32", always_2d=True)
    end = start + len(samples_NC)
    if len(samples_NC) < wanted:
        raise InputError(f"{name}: ends after {end} samples, expected {info.frames} as its header states")
    bad_NC = ~np.isfinite(samples_NC)
    if bad_NC.any():
        seconds = (start + int(bad_NC.any(axis=1).argmax())) / info.sample_rate
        raise InputError(
            f"{name}: {np.count_nonzero(bad_NC)} NaN or infinite samples, the first at {seconds:.6f} s, "
            "expected finite samples"
        )
    return Audio(samples_NC, info.sample_rate, info.format, info.subtype)


def write_audio(
    path: str | os.PathLike[str],
    samples_NC: np.ndarray,
    sample_rate: int,
    *,
    subtype: str | None = None,
    format: str | None = None,
) -> None:
    """Write samples (samples N, channels C), ±1 being full scale; a file of that name is replaced whole.

    Integer subtypes round to the nearest code and saturate: +1.0 in 16 bits is 32767. FLOAT and DOUBLE hold
    the samples as they are, beyond ±1 too; every other (lossy) subtype saturates at ±1. `format` is
    libsndfile's name ("WAV", "FLAC", …), by default the path's ending; `subtype` is by default the format's
    usual one (PCM_16 for wav and flac). On failure nothing is left behind, and an older file stays.

    Raises:
        InputError: the folder or disk does not take the file, or the format cannot hold such audio.
        ValueError: samples that are not floating point (N > 0, C > 0) or not finite, or a rate that is not a
            positive integer.
    """
    soundfile, path = import_package("soundfile"), Path(path)
    name, samples_NC = shown(path), check_samples(samples_NC)
    if not (samples_NC.size and np.isfinite(samples_NC).all()):
        raise ValueError(f"samples of shape {samples_NC.shape}: expected at least one, all finite")
    sample_rate = check_rate("sample_rate", sample_rate)
    format = (format or path.suffix.removeprefix(".")).upper()
    if format not in soundfile.available_formats() or format == "RAW":
        raise InputError(f"{name}: unknown audio format {format!r}, expected for example wav, flac, ogg, mp3")
    subtype = (subtype or soundfile.default_subtype(format)).upper()
    if not soundfile.check_format(format, subtype):
        end = did_you_mean(subtype, soundfile.available_subtypes(format))
        raise InputError(f"{name}: {format} has no subtype {subtype!r}, {end}")
    # In memory first: libsndfile does not report a full disk dependably, Python's own write does.
    encoded = io.BytesIO()
    try:
        soundfile.write(encoded, _quantised(samples_NC, subtype), sample_rate, subtype, format=format)
    except soundfile.SoundFileError as e:
        found = f"{samples_NC.shape[1]} channels at {sample_rate} Hz"
        raise InputError(f"{name}: {found}, expected what {format} can hold ({_reason(e)})") from e
    try:
        with written_aside(path) as aside:
            aside.write_bytes(encoded.getbuffer())
    except OSError as e:
        raise InputError(f"{name}: cannot be written ({e.strerror}), expected room for it") from e


def import_package(name: str) -> ModuleType:
    """Return a package of the `audio` extra. Raises InputError where it is not installed."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as e:  # OSError: soundfile is there, libsndfile is not
        raise InputError(f'sound needs the package {name}: pip install "madsep-jax[audio]"') from e


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, AudioInfo]]:
    """Open a sound file that has samples; libsndfile's errors in here or in the body become InputErrors."""
    _check_file(path)
    soundfile = import_package("soundfile")
    try:
        is_mp4 = path.suffix.lower() in mp4.SUFFIXES
        with soundfile.SoundFile(mp4.decode_to_wav(path) if is_mp4 else path) as f:
            kind = ("MP4", "AAC") if is_mp4 else (f.format, f.subtype)
            info = AudioInfo(f.samplerate, f.channels, f.frames, *kind)
            if info.frames == 0:
                raise InputError(f"{shown(path)}: 0 samples, expected at least one")
            if info.frames >= _UNKNOWN_FRAMES:
                raise InputError(f"{shown(path)}: its header states no length, expected a number of samples")
            yield f, info
    except (soundfile.SoundFileError, MemoryError) as e:  # MemoryError: for the length in a damaged header
        raise InputError(f"{shown(path)}: cannot be read as audio ({_reason(e)}), {_EXPECTED}") from e


def _check_file(path: Path) -> None:
    """Refuse what is not a readable, regular file with something in it."""
    found = ""
    try:
        if path.is_dir():
            found = "is a folder"
        elif not path.exists():
            found = "is a broken link" if path.is_symlink() else "no such file"
        elif not path.is_file():  # reading a pipe could wait for ever
            found = "is not a regular file"
        elif path.stat().st_size == 0:
            found = "is empty (0 bytes)"
        elif path.suffix.lower() == ".raw":  # libsndfile would ask for its rate and channels
            found = "has no header"
        else:
            path.open("rb").close()
    except OSError as e:
        found = f"cannot be read ({e.strerror})"
    if found:
        raise InputError(f"{shown(path)}: {found}, {_EXPECTED}")


def _reason(error: Exception) -> str:
    """Return libsndfile's own words, without the path and the full stop."""
    return getattr(error, "error_string", str(error)).removeprefix("Error : ").rstrip(".")


def _quantised(samples_NC: np.ndarray, subtype: str) -> np.ndarray:
    """Return what libsndfile is given: for integer subtypes left-aligned int32 codes, for it rounds down."""
    if subtype in FLOAT_SUBTYPES:
        return samples_NC
    if subtype not in PCM_BITS:
        return np.clip(samples_NC, -1.0, 1.0)
    full_scale = 2 ** (PCM_BITS[subtype] - 1)
    code_NC = np.rint(samples_NC.astype(np.float64) * full_scale).clip(-full_scale, full_scale - 1)
    return (code_NC.astype(np.int64) * (2**31 // full_scale)).astype(np.int32)


def check_samples(samples_NC: np.ndarray) -> np.ndarray:
    """Return the samples. Raises ValueError unless they are floating point (samples N, channels C)."""
    samples_NC = np.asarray(samples_NC)
    if samples_NC.ndim != 2 or samples_NC.shape[1] == 0 or samples_NC.dtype not in (np.float32, np.float64):
        raise ValueError(f"{samples_NC.dtype} {samples_NC.shape}: expected float (samples N, channels C)")
    return samples_NC


def check_rate(name: str, rate: int) -> int:
    """Return a rate in Hz. Raises ValueError, by its name, unless it is a positive integer."""
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate <= 0:
        raise ValueError(f"{name}={rate!r}: expected a positive integer in Hz")
    return int(rate)


def process_at_rate(
    samples_NC: np.ndarray, sample_rate: int, rate: int, process: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Resample from `sample_rate` to `rate` (Hz), process, and resample back to exactly the original length.

    `process` keeps the length; it may change the number of channels.
    """
    processed_NC = resample(process(resample(samples_NC, sample_rate, rate)), rate, sample_rate)
    processed_NC = processed_NC[: len(samples_NC)]  # there and back may differ by a sample
    return np.pad(processed_NC, ((0, len(samples_NC) - len(processed_NC)), (0, 0)))


def resample(samples_NC: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return the samples (samples N, channels C) at another rate in Hz: round(N · to / from), same dtype.

    By soxr at its very high quality, linear phase; the very same array where the rates are equal.

    Raises:
        InputError: soxr is not installed.
        ValueError: samples that are not floating point (N, C), or a rate that is not a positive integer.
    """
    samples_NC = check_samples(samples_NC)
    from_rate, to_rate = check_rate("from_rate", from_rate), check_rate("to_rate", to_rate)
    if from_rate == to_rate:
        return samples_NC
    soxr = import_package("soxr")
    n = round(Fraction(len(samples_NC) * to_rate, from_rate))
    out_NC = soxr.resample(samples_NC, from_rate, to_rate, quality="VHQ")
    if abs(n - len(out_NC)) > 2 + to_rate // from_rate:
        raise RuntimeError(f"soxr returned {len(out_NC)} samples, expected {n}")
    return np.pad(out_NC[:n], ((0, max(0, n - len(out_NC))), (0, 0)))
