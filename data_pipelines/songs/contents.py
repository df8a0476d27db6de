"""Songs are known by the content of their files, of which each is read through once and then remembered."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.songs.tracks import file_stamp, fingerprint_of
from madsep_jax.audio import StreamInfo, open_audio
from madsep_jax.host.files import reading, user_cache, write_text

_DIGITS = 32

#: Samples that are decoded at a time.
_BLOCK = 2**16

#: What this process has found, where the user's cache cannot be written.
_found: dict[str, str] = {}


def content_of(paths: Sequence[Path], check: Callable[[], object] = lambda: None) -> str:
    """Return 32 hexadecimal digits over the bytes of files, in this order, whatever their names and times of change.

    `check` reads them, and raises InputError where one cannot be used. Of files that have passed, the digits are kept
    in the user's cache: they are not read again until their path, size or time of change is another one.
    """
    with reading(paths[0], "the file that was there before"):
        stamps = "\0".join(file_stamp(path, path.resolve()) for path in paths)
        key = fingerprint_of(stamps, _DIGITS)
        if content := _found.get(key) or _kept(user_cache() / "contents" / key):
            return content
        check()
        content = fingerprint_of("".join(_digest(path) for path in paths), _DIGITS)
    _found[key] = content
    with contextlib.suppress(OSError):  # then they are read again by the next process
        write_text(user_cache() / "contents" / key, content)
    return content


def frames_of(path: Path, stream: int = 0) -> tuple[StreamInfo, int]:
    """Read a sound file, or another of its streams, through; returns what it is, and how many samples a channel it has.

    Raises InputError where it cannot be decoded to its end, or holds NaN or infinite samples.
    """
    with open_audio(path, stream=stream) as reader:
        frames = sum(len(block_NC) for block_NC in reader.blocks(_BLOCK))
    reader.require_whole()
    return reader.info, frames


def _kept(path: Path) -> str:
    """Return what was written down; nothing where nothing was, or only a part of it."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        content = path.read_text(encoding="ascii")
        return content if len(content) == _DIGITS else ""
    return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGITS // 2)).hexdigest()
