"""Who decodes a sound file, by its content: libsndfile where its length is exact, FFmpeg everything else."""

from io import FileIO
from pathlib import Path

from madsep_jax.audio.ffmpeg import FfmpegSource
from madsep_jax.audio.info import UndecodableError
from madsep_jax.audio.sndfile import SndfileSource, is_for_sndfile
from madsep_jax.errors import InputError, shown

EXPECTED = "expected an audio file (wav, flac, ogg, mp3, m4a)"

#: Of a caf file that was written to a pipe: libsndfile refuses it as it does one that ends early.
_PIPED_CAF = b"data" + b"\xff" * 8


def open_source(path: Path, file: FileIO, stream: int) -> SndfileSource | FfmpegSource:
    """Return what decodes an open file, or its sound stream of that number.

    Raises InputError, with the path, where nobody can, or it has no samples.
    """
    refused = ""
    if stream == 0 and is_for_sndfile(file):
        try:
            source = SndfileSource(file)
            if source.info.frames:
                return source
            refused = "no samples"
        except UndecodableError as e:
            refused = str(e)
    file.seek(0)
    head = file.read(4096)
    try:
        return FfmpegSource(file, stream, cut=refused.endswith("malformed") and _PIPED_CAF not in head)
    except UndecodableError as e:
        if refused == "no samples":
            raise InputError(f"{shown(path)}: 0 samples, expected at least one") from e
        if head[4:8] == b"ftyp" and "Invalid data" in str(e):
            refused = "the index is missing, as where an mp4 file ends early"
        raise InputError(f"{shown(path)}: cannot be read as audio ({refused or e}), {EXPECTED}") from e


def layout_of(source: SndfileSource | FfmpegSource, file: FileIO) -> str | None:
    """Return FFmpeg's name of the places of the channels ("stereo", "5.1"); None where they are not known."""
    if isinstance(source, FfmpegSource):
        return source.layout
    if source.info.channels <= 2:
        return ("mono", "stereo")[source.info.channels - 1]
    try:
        return FfmpegSource(file).layout
    except (UndecodableError, InputError):
        return None


def check_file(path: Path) -> None:
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
        else:
            path.open("rb").close()
    except OSError as e:
        found = f"cannot be read ({e.strerror})"
    if found:
        raise InputError(f"{shown(path)}: {found}, {EXPECTED}")
