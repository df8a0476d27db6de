"""What a file's own bytes say of its length, which FFmpeg does not tell apart from an estimate."""

import os
import re
from io import FileIO
from typing import Any

#: Containers that state the length of each stream, and those that state the file's; the others estimate it.
_OF_STREAMS = ("mov", "flac", "wav", "w64", "aiff", "caf", "au", "ape", "wv", "tta", "tak", "smjpeg")
_OF_FILES = ("matroska", "flv", "rm")

#: No recording has so many seconds.
_ABSURD_S = 1e6

#: An mp3's first frame, which states the number of frames and holds no sound; a tag before it.
MP3_HEADER = re.compile(rb"(?:Xing|Info)\x00\x00\x00[\x01\x03\x05\x07\x09\x0b\x0d\x0f](.{4})", re.DOTALL)
MP3_TAG = re.compile(rb"ID3[\x02-\x04]\x00.([\x00-\x7f]{4})", re.DOTALL)

#: The properties of a wma file: its bytes, its length in 100 ns, and by how many ms more that is. The length in bytes
#: of a Matroska file from here on, where it is known.
_ASF = re.compile(rb"\xa1\xdc\xab\x8cG\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c Se.{24}(.{8}).{16}(.{8}).{8}(.{4})", re.DOTALL)
_SEGMENT = re.compile(rb"\x18\x53\x80\x67\x01(.{7})", re.DOTALL)

#: kbit/s of frames by their number: of mp2, mp3, both at half the rates, and ac3.
_MP2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_MP3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_HALF = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_AC3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def stated_s(kind: str, container: Any, sound: Any, rate: int, file: FileIO) -> float | None:
    """Return the seconds of a stream by the header of its file, or None where it would be an estimate."""
    if kind == "voc":
        seconds = _voc_s(file)
    elif kind == "avi":
        seconds = float(sound.frames * sound.time_base)
    elif kind == "mp3":  # less what encoders add to both ends; else it is an estimate
        seconds = float(sound.duration * sound.time_base) if sound.duration else 0.0
        most_s = _mp3_s(file, rate)
        seconds = seconds if most_s - 3 * 1152 / rate <= seconds <= most_s + 1e-3 else 0.0
    elif kind in _OF_STREAMS:
        seconds = float(sound.duration * sound.time_base) if sound.duration else 0.0
    else:  # with pictures the sound may end before them, but not where the end of the file is not there
        file_s, is_cut = _of_file(kind, container, file)
        alone = len(container.streams) == len(container.streams.audio) == 1
        seconds = file_s if alone or is_cut else 0.0
    return seconds if 0 < seconds < _ABSURD_S else None


def ends_within(kind: str, codec: str, last: list[Any], file: FileIO) -> bool:
    """Whether a file ends in the middle of a packet, by its last two, of which a decoder need not complain."""
    if kind == "mpegts":
        head, size = _bytes(file, 0, 5), file.seek(0, os.SEEK_END)
        return bool(size % (192 if head[4:5] == b"G" != head[:1] else 188))
    return any(packet.is_corrupt for packet in last) or (bool(last) and _is_incomplete(codec, bytes(last[-1])))


def tag_bytes(tag: re.Match[bytes]) -> int:
    """Return the length of a tag, with its head; it is written in bytes of seven bits."""
    size = 0
    for byte in tag[1]:
        size = size << 7 | byte
    return 10 + size


def _bytes(file: FileIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _mp3_s(file: FileIO, rate: int) -> float:
    """Return the seconds, with what an encoder adds, that an mp3's first frame states; 0: it states none."""
    tag = MP3_TAG.match(_bytes(file, 0, 10))
    header = MP3_HEADER.search(_bytes(file, tag_bytes(tag) if tag else 0, 4096))
    return int.from_bytes(header[1], "big") * (1152 if rate >= 32000 else 576) / rate if header else 0.0


def _of_file(kind: str, container: Any, file: FileIO) -> tuple[float, bool]:
    """Return the seconds that a file states as its own (0: none), and whether it has fewer bytes than it states."""
    head, size = _bytes(file, 0, 65536), file.seek(0, os.SEEK_END)
    if kind == "asf":
        if not (properties := _ASF.search(head)):
            return 0.0, False
        in_bytes, hundred_ns, ms = (int.from_bytes(number, "little") for number in properties.groups())
        return hundred_ns / 1e7 - ms / 1e3, in_bytes > size
    segment = _SEGMENT.search(head) if kind == "matroska" else None
    is_cut = segment is not None and segment.end() + int.from_bytes(segment[1], "big") > size
    return (container.duration or 0) / 1e6 if kind in _OF_FILES else 0.0, is_cut


def _voc_s(file: FileIO) -> float:
    """Return the seconds of a Creative Voice file's blocks; 0: they are of a kind that is not counted here."""
    at, seconds, bytes_per_s, next_per_s = int.from_bytes(_bytes(file, 20, 2), "little"), 0.0, 0.0, 0.0
    while len(head := _bytes(file, at, 16)) == 16 and head[0]:
        kind, size = head[0], int.from_bytes(head[1:4], "little")
        if kind == 8:  # of the next block, in place of what that says; packed samples are not counted
            next_per_s = 256e6 / (65536 - int.from_bytes(head[4:6], "little")) if not head[6] else 0.0
        elif kind == 1:
            bytes_per_s, next_per_s = next_per_s or (1e6 / (256 - head[4]) if not head[5] else 0.0), 0.0
        elif kind == 9:
            bytes_per_s = int.from_bytes(head[4:8], "little") * head[8] / 8 * head[9]
        if kind in (1, 2, 9):
            if not bytes_per_s:
                return 0.0
            seconds += (size - {1: 2, 2: 0, 9: 12}[kind]) / bytes_per_s
        at += 4 + size
    return seconds


def _is_incomplete(codec: str, data: bytes) -> bool:
    """Whether these bytes are less than the frame that their head announces; False where they are none of a kind."""
    length, size, data = len(data), 0, data[:6].ljust(6, b"\0")
    if data[:2] == b"\x0bw" and codec in ("ac3", "eac3"):
        if data[5] >> 3 > 10:
            size = 2 * (1 + ((data[2] & 7) << 8 | data[3]))
        elif data[4] >> 6 < 3 and (data[4] & 63) // 2 < len(_AC3):
            kbits, rate = _AC3[(data[4] & 63) // 2], (48000, 44100, 32000)[data[4] >> 6]
            size = 2 * (kbits * 96000 // rate + (data[4] & 1 if rate == 44100 else 0))
    elif data[0] == 0xFF and data[1] >> 5 == 7 and codec.startswith(("mp2", "mp3")):
        version, layer, number, rate = data[1] >> 3 & 3, data[1] >> 1 & 3, data[2] >> 4, data[2] >> 2 & 3
        if version != 1 and layer in (1, 2) and 0 < number < 15 and rate < 3:
            kbits = (_HALF if version != 3 else _MP3 if layer == 1 else _MP2)[number - 1]
            hertz = (44100, 48000, 32000)[rate] // {3: 1, 2: 2, 0: 4}[version]
            size = (72000 if version != 3 and layer == 1 else 144000) * kbits // hertz + (data[2] >> 1 & 1)
    return length < size
