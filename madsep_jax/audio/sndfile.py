"""Sound that libsndfile reads with an exact length: wav, flac, aiff, caf, Vorbis and more."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import Any

import numpy as np

from madsep_jax.audio import ogg
from madsep_jax.audio.info import Missing, StreamInfo, UndecodableError, import_package

_BLOCK = 16384

#: libsndfile states such a length (12 days at 1 MHz, or as many samples as flac can count) where there is none.
_UNKNOWN_FRAMES = 2**36 - 1

#: The size that a header states for what holds the samples, and what there is of it, in libsndfile's log.
_CUT_SHORT = re.compile(r"^\s*(?:data|SSND|BODY|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)

#: Sizes in headers of files that were written to a pipe: the largest of 31 and of 32 bits, or near it.
_PIPED_SIZES = (range(2**31 - 2**16, 2**31), range(2**32 - 2**16, 2**32))

#: The numbers of mp2 and mp3 in a wav file's format.
_MPEG_IN_WAV = (0x50, 0x55)


class SndfileSource:
    """One file, open for reading."""

    def __init__(self, file: FileIO) -> None:
        """Read the header. Raises UndecodableError where libsndfile does not know the format or finds no samples."""
        self._file, self.position = file, 0
        self.found: tuple[Missing, ...] = ()  # of its damages none has anything after it
        with self._opened() as f:
            frames = f.frames if 0 < f.frames < _UNKNOWN_FRAMES else None
            self.info = StreamInfo(f.samplerate, f.channels, frames, f.format, f.subtype)
            self.tags = {name: text for name, text in f.copy_metadata().items() if name != "software" and text}
            cut = _CUT_SHORT.search(f.extra_info)
        self._stated_frames = frames
        if frames and cut and not any(int(cut[1]) in sizes for sizes in _PIPED_SIZES):
            self._stated_frames = frames * int(cut[1]) // max(int(cut[2]), 1)

    def decode(self, start: int) -> Iterator[np.ndarray]:
        """Yield blocks, float32 (samples N, channels C), from a sample on. Raises UndecodableError where it cannot."""
        with self._opened() as f:
            # Not gsm, which is read from its start on.
            self.position = f.seek(min(start, f.frames)) if start and f.seekable() else 0
            while len(block_NC := f.read(_BLOCK, dtype="float32", always_2d=True)):
                skipped = max(start - self.position, 0)
                self.position += len(block_NC)
                if skipped < len(block_NC):
                    yield block_NC[skipped:]

    def missing(self) -> tuple[Missing, ...]:
        """Return what is missing, once all was decoded."""
        rate, lost = self.info.sample_rate, (self._stated_frames or 0) - self.position
        return (Missing(self.position / rate, lost / rate),) if lost > 0 else ()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        soundfile = import_package("soundfile")
        self._file.seek(0)
        try:  # by its number: libsndfile would take hints from a name, and refuse one that is not UTF-8
            with soundfile.SoundFile(self._file.fileno(), closefd=False) as f:
                yield f
        except (soundfile.SoundFileError, MemoryError) as e:  # MemoryError: for the length in a damaged header
            raise UndecodableError(reason(e)) from e


def is_for_sndfile(file: FileIO) -> bool:
    """Whether a file may be libsndfile's: not mp3, flac or ogg of which it would not read what a header leaves out."""
    file.seek(0)
    head = file.read(65536)
    if head[:4] == b"OggS":
        return ogg.is_one_vorbis(file)
    if head[:3] == b"ID3" or head[:4] == b"fLaC" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return False
    if head[:2] == b"\xf0\x7e":  # a MIDI sample dump, of whose damages it writes on the terminal
        return False
    if head[:19] == b"Creative Voice File":  # of whose damages it says nothing
        return False
    at = head.find(b"fmt ") if head[:4] in (b"RIFF", b"RF64", b"riff") else -1
    return at < 0 or int.from_bytes(head[at + 8 : at + 10], "little") not in _MPEG_IN_WAV


def reason(error: Exception) -> str:
    """Return libsndfile's own words, without the path and the full stop."""
    return getattr(error, "error_string", str(error)).removeprefix("Error : ").rstrip(".")
