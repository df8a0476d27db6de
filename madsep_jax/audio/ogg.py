"""The pages of an ogg file (RFC 3533): whether all are there, and what is missing of the sound where they are not.

A page states the number of samples up to its end, its granule. What has not been decoded by then is missing.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from io import FileIO
from itertools import zip_longest
from typing import Any, NamedTuple

_HEADER, _FIRST, _LAST = 27, 2, 4  # bytes; flags
_LONGEST = _HEADER + 255 + 255 * 255
_NO_GRANULE = 2**64 - 1

#: The bits of each byte the other way round: an ogg file's checksum is zlib's but for their order, and its start.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

#: Seconds by which a page may state more than is decoded: the first packet of some codecs gives no sound. And by which
#: the first page may, and any where no page is gone: a recording from a running stream does not begin with 0.
_TOLERANCE_S, _MOST_S = 0.05, 60.0


class _Page(NamedTuple):
    """A page from byte `at` to byte `end`; where it is not whole, its checksum is wrong, or its end is not there."""

    at: int
    end: int
    flags: int
    granule: int
    serial: bytes
    number: int
    body: bytes
    is_whole: bool


class _Clock(NamedTuple):
    """How granules are counted: samples per second, and how many come before the first that is heard."""

    rate: int
    skipped: int


class _End(NamedTuple):
    """The seconds up to the end of a page (None: it ends within a packet), and whether a page before it is gone."""

    at: int
    link: int
    seconds: float | None
    after_gap: bool


def is_one_vorbis(file: FileIO) -> bool:
    """Whether a file is one mono or stereo stream of Vorbis, page after page from beginning to end, and nothing else.

    Of such a file libsndfile knows the exact length; it reads the first of several only, passes over damaged pages, and
    leaves more channels in Vorbis's own order.
    """
    end, number, flags, serial = 0, 0, 0, b""
    for page in _pages(file):
        serial = serial or page.serial
        is_first = bool(page.flags & _FIRST)
        if not page.is_whole or (page.at, page.number, page.serial, is_first) != (end, number, serial, number == 0):
            return False
        if number == 0 and not (page.body[:7] == b"\x01vorbis" and page.body[11] <= 2):
            return False
        end, number, flags = page.end, number + 1, page.flags
    return end == file.seek(0, os.SEEK_END) and bool(flags & _LAST)


class Pages:
    """What the pages of one sound stream state; of files that were joined (chained), of that of each link."""

    def __init__(self, file: FileIO, stream: int) -> None:
        """Walk over all pages."""
        self._ends: list[_End] = []
        self._has_end: list[bool] = []  # of each link
        last: _Page | None = None
        for page, clock in _of_stream(file, stream):
            if page.flags & _FIRST or last is None or (page.is_whole and page.number <= last.number):
                self._has_end.append(False)
                last = page._replace(granule=0, number=0)
                if page.flags & _FIRST:
                    continue
            gone = page.number - last.number - 1
            latest = last.granule + (gone + 1) * _MOST_S * clock.rate
            if not page.is_whole and not (page.flags & _LAST and gone >= 0 and last.granule <= page.granule <= latest):
                continue  # of a damaged page the head is believed where it fits, and says what nothing else would
            self._has_end[-1] |= bool(page.flags & _LAST)
            seconds = None if page.granule == _NO_GRANULE else max(page.granule - clock.skipped, 0) / clock.rate
            self._ends.append(_End(page.at, len(self._has_end) - 1, seconds, gone > 0 or not page.is_whole))
            last = page if seconds is not None else page._replace(granule=last.granule)

    def told(self, packets: Iterable[tuple[int | None, list[Any]]]) -> Iterator[tuple[Any, float | None]]:
        """Yield the frames of packets, which come with their places in the file, and the seconds missing before each.

        These are None where nothing is missing, and 0 where nothing tells how much. At the end of a link, and of a page
        of which nothing could be decoded, they come with None in place of a frame.
        """
        left, link, had_s, is_first = iter(packets), 0, 0.0, True
        packet = next(left, None)
        for end, following in zip_longest(self._ends, self._ends[1:]):
            frames: list[Any] = []  # of the page
            while packet and (following is None or packet[0] is None or packet[0] < following.at):
                frames += packet[1]
                packet = next(left, None)
            if end.link != link:
                yield from ((None, 0.0) for has_end in self._has_end[link : end.link] if not has_end)
                link, had_s, is_first = end.link, 0.0, True
            decoded_s = sum(frame.samples / frame.sample_rate for frame in frames)
            lost_s = (end.seconds or 0.0) - had_s - decoded_s
            if lost_s > _TOLERANCE_S:
                had_s += lost_s
                if lost_s < _MOST_S or (end.after_gap and not is_first):
                    yield frames.pop(0) if frames else None, lost_s
            yield from ((frame, None) for frame in frames)
            had_s, is_first = had_s + decoded_s, is_first and not end.seconds
        yield from ((None, 0.0) for has_end in self._has_end[link:] if not has_end)


def _of_stream(file: FileIO, stream: int) -> Iterator[tuple[_Page, _Clock]]:
    """Yield the pages of one sound stream of each link. Damaged ones are those that have its number.

    A link without its first page is taken, as FFmpeg does, for one more of the last one's kind.
    """
    clock: _Clock | None = None
    serial, others, begins, sounds = b"", set[bytes](), True, 0
    for page in _pages(file):
        if page.is_whole and page.flags & _FIRST:  # a link begins with those of all its streams
            if not begins:
                serial, others, sounds = b"", set(), 0
            begins, found = True, _clock(page.body)
            if found and sounds == stream:
                clock, serial = found, page.serial
                yield page, clock
            else:
                others.add(page.serial)
            sounds += found is not None
            continue
        begins = begins and not page.is_whole
        if clock and (page.serial == serial or (page.is_whole and page.serial not in others)):
            serial = page.serial
            yield page, clock


def _clock(body: bytes) -> _Clock | None:
    """Read the first page of a stream; None: it is no sound, or of a kind whose granules are not known here."""
    if body[:7] == b"\x01vorbis":
        return _Clock(int.from_bytes(body[12:16], "little") or 1, 0)
    if body[:8] == b"OpusHead":
        return _Clock(48000, int.from_bytes(body[10:12], "little"))
    if body[:5] == b"\x7fFLAC":  # the rate is 20 bits of STREAMINFO
        return _Clock(int.from_bytes(body[27:30], "big") >> 4 or 1, 0)
    if body[:8] == b"Speex   ":
        return _Clock(int.from_bytes(body[36:40], "little") or 1, 0)
    return None


def _pages(file: FileIO) -> Iterator[_Page]:
    """Yield all pages in their order, and what looks like one."""
    at, data = 0, b""
    while True:
        file.seek(at)
        data = file.read(_LONGEST)
        found = data.find(b"OggS")
        if found != 0:
            if len(data) < 4:
                return
            at += found if found > 0 else len(data) - 3
            continue
        if len(data) <= _HEADER:
            return
        start = _HEADER + data[26]
        end = start + sum(data[_HEADER:start])
        is_whole = len(data) >= end and _checksum(data[:end]) == int.from_bytes(data[22:26], "little")
        granule, number = int.from_bytes(data[6:14], "little"), int.from_bytes(data[18:22], "little")
        yield _Page(at, at + end, data[5], granule, data[14:18], number, data[start:end], is_whole)
        at += end if is_whole else 4


def _checksum(page: bytes) -> int:
    reversed_bits = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)  # its own four bytes count as zero
    return int(f"{zlib.crc32(reversed_bits, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
