"""The pages of an ogg file (RFC 3533): whether all are there."""

import os
import zlib
from io import FileIO

_HEADER, _FIRST, _LAST = 27, 2, 4  # bytes; flags
_LONGEST = _HEADER + 255 + 255 * 255

#: The bits of each byte the other way round: an ogg file's checksum is zlib's but for their order, and its start.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_one_vorbis(file: FileIO) -> bool:
    """Whether a file is one mono or stereo stream of Vorbis, page after page from beginning to end, and nothing else.

    Of such a file libsndfile knows the exact length; it reads the first of several only, passes over damaged pages, and
    leaves more channels in Vorbis's own order.
    """
    size, at, number, last = file.seek(0, os.SEEK_END), 0, 0, 0
    serial = b""
    while at < size:
        file.seek(at)
        page = file.read(_LONGEST)
        table = page[_HEADER : _HEADER + page[26]] if len(page) > _HEADER else b""
        body = _HEADER + len(table)
        serial = serial or page[14:18]
        last = page[5] if table else 0
        expected = (b"OggS", number.to_bytes(4, "little"), serial, number == 0)
        if not table or (page[:4], page[18:22], page[14:18], bool(last & _FIRST)) != expected:
            return False
        if not _is_whole(page):
            return False
        if number == 0 and not (page[body : body + 7] == b"\x01vorbis" and page[body + 11] <= 2):
            return False
        at, number = at + body + sum(table), number + 1
    return at == size and bool(last & _LAST)


def has_end(file: FileIO) -> bool:
    """Whether the last page says that it is the last, and is whole."""
    file.seek(max(file.seek(0, os.SEEK_END) - 2 * _LONGEST, 0))
    tail = file.read(2 * _LONGEST)
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    return len(page) > _HEADER and bool(page[5] & _LAST) and _is_whole(page)


def _is_whole(page: bytes) -> bool:
    """Whether all of a page, with which these bytes begin, is there and has its checksum."""
    body = _HEADER + page[26]
    end = body + sum(page[_HEADER:body])
    reversed_bits = (page[:22] + bytes(4) + page[26:end]).translate(_REVERSED)  # its own four bytes count as zero
    checksum = int(f"{zlib.crc32(reversed_bits, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
    return len(page) >= end and checksum == int.from_bytes(page[22:26], "little")
