"""The pages of an ogg file (RFC 3533): whether all are there."""

import os
from io import FileIO

_HEADER, _FIRST, _LAST = 27, 2, 4  # bytes; flags
_LONGEST = _HEADER + 255 + 255 * 255


def is_one_vorbis(file: FileIO) -> bool:
    """Whether a file is one mono or stereo stream of Vorbis, page after page from beginning to end, and nothing else.

    Of such a file libsndfile knows the exact length; it reads the first of several only, none after a hole, and leaves
    more channels in Vorbis's own order.
    """
    size, at, number, last = file.seek(0, os.SEEK_END), 0, 0, 0
    serial = b""
    while at < size:
        file.seek(at)
        page = file.read(_HEADER + 255 + 12)
        table = page[_HEADER : _HEADER + page[26]] if len(page) > _HEADER else b""
        body = _HEADER + len(table)
        serial = serial or page[14:18]
        last = page[5] if table else 0
        expected = (b"OggS", number.to_bytes(4, "little"), serial, number == 0)
        if not table or (page[:4], page[18:22], page[14:18], bool(last & _FIRST)) != expected:
            return False
        if number == 0 and not (page[body : body + 7] == b"\x01vorbis" and page[body + 11] <= 2):
            return False
        at, number = at + body + sum(table), number + 1
    return at == size and bool(last & _LAST)


def has_end(file: FileIO) -> bool:
    """Whether the last page says that it is the last."""
    file.seek(max(file.seek(0, os.SEEK_END) - 2 * _LONGEST, 0))
    tail = file.read(2 * _LONGEST)
    at = tail.rfind(b"OggS")
    return at >= 0 and len(tail) > at + 5 and bool(tail[at + 5] & _LAST)
