"""Write sound files block by block: aside, then renamed, so that they are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from madsep_jax.audio.info import import_package
from madsep_jax.audio.resampling import check_rate, check_samples
from madsep_jax.audio.sndfile import reason
from madsep_jax.errors import InputError, did_you_mean, shown
from madsep_jax.host.files import written_aside

#: The bits of the integer subtypes, which are rounded and saturated here.
PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")  # written as they are

#: Samples that libsndfile is given at once: its ogg encoder keeps them on the stack.
_AT_ONCE = 65536

#: What a wav file can hold, bytes; longer ones are written as RF64.
_MOST_BYTES = 2**32 - 2**20

#: About how many kbit/s the qualities 0, 0.1, … 1 of Vorbis take, in stereo at 44.1 kHz.
_VORBIS_KBITS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)

#: The order of Vorbis's channels in those of wav and FFmpeg, by their number.
_VORBIS_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 4, 5, 3),
    7: (0, 2, 1, 5, 6, 4, 3),
    8: (0, 2, 1, 6, 7, 4, 5, 3),
}

#: FFmpeg's names of the places that wav files number, and where in the file they do.
_PLACES = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)
_MASK_AT = 40


class AudioWriter:
    """One file that is being written; see `open_writer`."""

    def __init__(self, name: str, file: FileIO, sound: Any) -> None:
        self._name, self._file, self._sound = name, file, sound
        self._room = _samples_of_a_wav(sound.subtype, sound.channels) if sound.format in ("WAV", "WAVEX") else None

    def write(self, samples_NC: np.ndarray) -> None:
        """Append samples, floating point (samples N, channels C), ±1 being full scale.

        Raises:
            InputError: the disk does not take them, or a wav file would become too long.
            ValueError: they are not floating point, of other channels than the file's, or not finite.
        """
        samples_NC = check_samples(samples_NC)
        if samples_NC.shape[1] != self._sound.channels or not np.isfinite(samples_NC).all():
            raise ValueError(
                f"samples of shape {samples_NC.shape}: expected {self._sound.channels} channels, all finite"
            )
        if self._room is not None:
            self._room -= len(samples_NC)
            if self._room < 0:
                raise InputError(f"{self._name}: longer than the 4 GiB that a wav file holds, expected flac")
        if self._sound.subtype == "VORBIS" and samples_NC.shape[1] in _VORBIS_ORDER:
            samples_NC = samples_NC[:, _VORBIS_ORDER[samples_NC.shape[1]]]
        for at in range(0, len(samples_NC), _AT_ONCE):
            with _told_why(self._name, self._file):
                self._sound.write(_quantised(samples_NC[at : at + _AT_ONCE], self._sound.subtype))


@contextlib.contextmanager
def open_writer(
    path: str | os.PathLike[str],
    sample_rate: int,
    channels: int,
    *,
    format: str | None = None,
    subtype: str | None = None,
    bitrate: int | None = None,
    tags: Mapping[str, str] | None = None,
    layout: str | None = None,
    frames: int = 0,
) -> Iterator[AudioWriter]:
    """Open a sound file for writing; at the end it takes its place whole, after an error nothing is left behind.

    Integer subtypes round to the nearest code and saturate: +1.0 in 16 bits is 32767. FLOAT and DOUBLE hold the
    samples as they are, beyond ±1 too; every other (lossy) subtype saturates at ±1.

    Args:
        path: of the file; one of that name is replaced whole.
        sample_rate: in Hz.
        channels: how many.
        format: libsndfile's name ("WAV", "FLAC", "MP3", "OGG", …), by default the path's ending.
        subtype: by default the format's usual one (PCM_16 for wav and flac).
        bitrate: kbit/s of mp3, constant, and of ogg, on average; None: the best that they offer up to 320.
        tags: title, artist, … by libsndfile's names; those that the format cannot keep are left out.
        layout: FFmpeg's name of the channels' places, which wav keeps for more than two; the other formats imply one.
        frames: how many samples will be written, as far as known: wav files of more than 4 GiB need it, and become
            RF64.

    Raises:
        InputError: the folder or disk does not take the file, or the format cannot hold such audio.
        ValueError: the rate is not a positive integer.
    """
    soundfile, path = import_package("soundfile"), Path(path)
    name, sample_rate = shown(path), check_rate("sample_rate", sample_rate)
    format = (format or path.suffix.removeprefix(".")).upper()
    if format not in soundfile.available_formats() or format == "RAW":
        raise InputError(f"{name}: unknown audio format {format!r}, expected for example wav, flac, ogg, mp3")
    subtype = (subtype or soundfile.default_subtype(format)).upper()
    if not soundfile.check_format(format, subtype):
        end = did_you_mean(subtype, soundfile.available_subtypes(format))
        raise InputError(f"{name}: {format} has no subtype {subtype!r}, {end}")
    mask = _channel_mask(layout, channels) if format == "WAV" else 0
    if format == "WAV" and frames > _samples_of_a_wav(subtype, channels):
        format, mask = "RF64", 0
    options = {"format": "WAVEX" if mask else format, "subtype": subtype, "closefd": False}
    options |= _compression(name, format, sample_rate, bitrate)
    body_error: OSError | None = None
    try:
        with written_aside(path) as aside, aside.open("w+b", buffering=0) as file:
            try:  # by its number: no Python runs within, where Ctrl-C would be lost
                sound = soundfile.SoundFile(file.fileno(), "w", sample_rate, channels, **options)
            except soundfile.SoundFileError as e:
                found = f"{channels} channels at {sample_rate} Hz"
                raise InputError(f"{name}: {found}, expected what {format} can hold ({reason(e)})") from e
            try:
                _set_tags(sound, tags or {})
                yield AudioWriter(name, file, sound)
            except BaseException as e:
                body_error = e if isinstance(e, OSError) else None
                with contextlib.suppress(soundfile.SoundFileError):
                    sound.close()
                raise
            with _told_why(name, file):
                sound.close()
            _require_room(file)
            if mask:
                file.seek(_MASK_AT)
                file.write(mask.to_bytes(4, "little"))
    except OSError as e:
        if e is body_error:
            raise
        raise InputError(f"{name}: cannot be written ({e.strerror}), expected room for it") from e


def write_audio(
    path: str | os.PathLike[str],
    samples_NC: np.ndarray,
    sample_rate: int,
    *,
    subtype: str | None = None,
    format: str | None = None,
) -> None:
    """Write a whole file, as `open_writer` does, from samples (samples N, channels C), ±1 being full scale.

    Raises:
        InputError: the folder or disk does not take the file, or the format cannot hold such audio.
        ValueError: samples that are not floating point (N > 0, C > 0) or not finite, or a rate that is not a
            positive integer.
    """
    samples_NC = check_samples(samples_NC)
    if not (samples_NC.size and np.isfinite(samples_NC).all()):
        raise ValueError(f"samples of shape {samples_NC.shape}: expected at least one, all finite")
    frames, channels = samples_NC.shape
    with open_writer(path, sample_rate, channels, subtype=subtype, format=format, frames=frames) as writer:
        writer.write(samples_NC)


@contextlib.contextmanager
def _told_why(name: str, file: FileIO) -> Iterator[None]:
    """Turn what libsndfile says of a failed write into what the disk says."""
    try:
        yield
    except (import_package("soundfile").SoundFileError, AssertionError) as e:  # AssertionError: fewer were written
        try:
            _require_room(file)
        except OSError as full:
            raise InputError(f"{name}: cannot be written ({full.strerror}), expected room for it") from full
        raise InputError(f"{name}: cannot be written ({reason(e)}), expected room for it") from e


def _require_room(file: FileIO) -> None:
    """Raise OSError where the disk takes no more: what an encoder could not write at its end it does not report."""
    end = file.seek(0, os.SEEK_END)
    left = memoryview(bytes(4096))
    while left:
        left = left[file.write(left) :]
    file.truncate(end)


def _samples_of_a_wav(subtype: str, channels: int) -> int:
    return _MOST_BYTES * 8 // (channels * {**PCM_BITS, "FLOAT": 32, "DOUBLE": 64}.get(subtype, 8))


def _quantised(samples_NC: np.ndarray, subtype: str) -> np.ndarray:
    """Return what libsndfile is given: for integer subtypes left-aligned int32 codes, for it rounds down."""
    if subtype in FLOAT_SUBTYPES:
        return samples_NC
    if subtype not in PCM_BITS:
        return np.clip(samples_NC, -1.0, 1.0)
    full_scale = 2 ** (PCM_BITS[subtype] - 1)
    code_NC = np.rint(samples_NC.astype(np.float64) * full_scale).clip(-full_scale, full_scale - 1)
    return (code_NC.astype(np.int64) * (2**31 // full_scale)).astype(np.int32)


def _compression(name: str, format: str, sample_rate: int, bitrate: int | None) -> dict[str, Any]:
    """Return libsndfile's compression level, 0 (best) to 1, for a bit rate in kbit/s."""
    if format == "OGG":
        low, high, most = _VORBIS_KBITS[0], _VORBIS_KBITS[-1], 320
    elif format == "MP3":
        low, high = (32, 320) if sample_rate >= 32000 else (8, 160) if sample_rate >= 16000 else (8, 64)
        most = high
    elif bitrate:
        raise InputError(f"{name}: found a bit rate of {bitrate} kbit/s, expected none for {format}")
    else:
        return {}
    wanted = most if bitrate is None else bitrate
    if not low <= wanted <= high:
        raise InputError(f"{name}: found {wanted} kbit/s, expected {low} to {high} for {format} at {sample_rate} Hz")
    if format == "MP3":
        return {"compression_level": (high - wanted) / (high - low), "bitrate_mode": "CONSTANT"}
    return {"compression_level": 1 - float(np.interp(wanted, _VORBIS_KBITS, np.linspace(0, 1, len(_VORBIS_KBITS))))}


def _set_tags(sound: Any, tags: Mapping[str, str]) -> None:
    for name, text in tags.items():
        with contextlib.suppress(RuntimeError, AttributeError):  # what the format, or libsndfile, has no place for
            setattr(sound, name, text)


def _channel_mask(layout: str | None, channels: int) -> int:
    """Return the bits by which a wav file names its channels' places; 0 where it need not, or they have no names."""
    if layout is None or channels <= 2:
        return 0
    try:
        places = [channel.name for channel in import_package("av").AudioLayout(layout).channels]
        bits = [_PLACES.index(place) for place in places]
    except (ValueError, InputError):
        return 0
    return sum(1 << bit for bit in bits) if len(bits) == channels else 0
