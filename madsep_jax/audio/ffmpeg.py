"""Sound that FFmpeg decodes, by PyAV, which carries its own: every container and codec, found by content."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from io import FileIO
from typing import Any

import numpy as np

from madsep_jax.audio.info import Missing, StreamInfo, UndecodableError, import_package
from madsep_jax.audio.ogg import Pages
from madsep_jax.audio.stated import MP3_HEADER, MP3_TAG, ends_within, stated_s, tag_bytes

#: Seconds by which timestamps may jump, and a length in a header exceed what is decoded, without anything missing:
#: some containers count in milliseconds, and a codec's last block need not be full.
_TOLERANCE_S = 0.05

#: Packets in a row that cannot be read, where no more are tried.
_MOST_FAILURES = 100

#: Codecs whose samples are those that were encoded, but for `pcm_…`.
_LOSSLESS = ("flac", "wavpack", "tta", "ape", "tak", "mlp", "truehd", "wmalossless", "shorten", "als")

#: libsndfile's names of FFmpeg's sample formats; it has no longer integers.
_DEPTHS = {"u8": "PCM_U8", "s16": "PCM_16", "s32": "PCM_32", "s64": "PCM_32", "flt": "FLOAT", "dbl": "DOUBLE"}

_TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "license", "track")


class FfmpegSource:
    """One sound stream of a file, open for reading."""

    def __init__(self, file: FileIO, stream: int = 0, *, cut: bool = False) -> None:
        """Look at the first sound. Raises UndecodableError where there is none that can be decoded.

        `cut` says that by another library's word a part of the file is not there.
        """
        self._file, self._stream, self.position = file, stream, 0
        self.found: list[Missing] = []  # so far
        with self._opened() as (container, sound):
            frames = (frame for packet, frames in _decoded(container, sound) for frame in frames or ())
            frame = next((frame for frame in frames if frame.samples), None)
            if frame is None:
                raise UndecodableError("no sound in it can be decoded")
            kind = container.format.name.partition(",")[0]
            subtype = _subtype(sound, frame)
            format = "MP4" if kind == "mov" else kind.upper()
            self.info = StreamInfo(frame.sample_rate, frame.layout.nb_channels, None, format, subtype)
            self._places = str(frame.layout.name)
            self.layout = None if self._places.endswith("channels") else self._places
            self._is_mp3 = subtype == "MPEG_LAYER_III"
            self._stated_s = stated_s(kind, container, sound, frame.sample_rate, file)
            if kind == "flac" and self._stated_s:
                self.info = replace(self.info, frames=round(self._stated_s * frame.sample_rate))
            self._pages = Pages(file, stream) if kind == "ogg" else None
            self._kind, self._is_cut, self._ends_early = kind, cut, cut
            self.about_s = self._stated_s or (container.duration / 1e6 if container.duration else None)
            metadata = {name.lower(): text for name, text in {**container.metadata, **sound.metadata}.items()}
            names = {name: name.replace("track", "tracknumber") for name in _TAGS if metadata.get(name)}
            self.tags = {names[name]: _readable(metadata[name]) for name in names}

    def decode(self, start: int) -> Iterator[np.ndarray]:
        """Yield blocks, float32 (samples N, channels C), from a sample on."""
        self.found, self.position = [], 0
        with self._opened() as (container, sound):
            for frame, lost_s in self._uniform(self._frames(container, sound)):
                if lost_s is not None:
                    self._note(lost_s)
                if frame is None:
                    continue
                skipped = max(start - self.position, 0)
                self.position += frame.samples
                if skipped < frame.samples:
                    yield _samples(frame)[skipped:]

    def _note(self, lost_s: float) -> None:
        """Note what is missing here; less than nothing says that what was noted last was too much."""
        at_s = self.position / self.info.sample_rate
        if lost_s >= 0:
            self.found.append(Missing(at_s, lost_s))
        elif self.found and self.found[-1].seconds + lost_s > -_TOLERANCE_S:
            last = self.found.pop()
            self.found += [Missing(last.at_s, last.seconds + lost_s)] if last.seconds + lost_s > _TOLERANCE_S else []

    def missing(self) -> tuple[Missing, ...]:
        """Return what is missing, once all was decoded."""
        found, at_s = list(self.found), self.position / self.info.sample_rate
        if self._is_mp3 and found and found[-1].at_s == at_s:
            found.pop()  # what follows the last sound is a tag, or tells less than the header
        rest_s = (self._stated_s or 0) - at_s - sum(part.seconds for part in found)
        ends_early = rest_s > _TOLERANCE_S or self._ends_early
        if rest_s > 0 and found and (found[-1].at_s == at_s or not ends_early):
            # a hole takes a little more than the packets that it damages
            found[-1] = Missing(found[-1].at_s, found[-1].seconds + rest_s)
        elif ends_early:
            found.append(Missing(at_s, rest_s if rest_s > _TOLERANCE_S else 0))
        return tuple(found)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        av = import_package("av")
        self._file.seek(0)
        # By its number: FFmpeg takes hints from a name. No other file or address is opened for what it says.
        options = {"fd": str(self._file.fileno()), "protocol_whitelist": "fd"}
        # As 19 and newer have them, what is not UTF-8 in tags is surrogates.
        tags = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
        try:
            with av.open("fd:", container_options=options, **tags) as container:
                streams = container.streams.audio
                if len(streams) <= self._stream:
                    raise UndecodableError(f"found {len(streams)} sound streams, expected {self._stream + 1}")
                sound = streams[self._stream]
                if sound.codec_context is None:
                    raise UndecodableError("its sound is of a kind that no decoder is there for")
                if sound.codec_context.name in _LOSSLESS:  # else a damaged block would be a burst of noise
                    sound.codec_context.options = {"err_detect": "crccheck+explode"}
                yield container, sound
        except (av.FFmpegError, MemoryError) as e:
            raise UndecodableError(getattr(e, "strerror", "") or str(e)) from e

    def _uniform(self, frames: Iterator[tuple[Any, float | None]]) -> Iterator[tuple[Any, float | None]]:
        """Yield frames of the first one's rate and channels: where these change within a stream, it is converted."""
        av, converter, converted = import_package("av"), None, None
        for frame, lost_s in frames:
            found = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
            if converter and found != converted:
                yield from ((last, None) for last in converter.resample(None))
                converter = None
            if frame is None or (found[1:] == (self._places, self.info.sample_rate) and not _is_beyond_pyav(frame)):
                yield frame, lost_s
                continue
            if converter is None:
                converter, converted = av.AudioResampler("flt", self._places, self.info.sample_rate), found
            if lost_s is not None:
                yield None, lost_s
            frame.pts = None
            yield from ((part, None) for part in converter.resample(frame))
        if converter:
            yield from ((last, None) for last in converter.resample(None))

    def _frames(self, container: Any, sound: Any) -> Iterator[tuple[Any, float | None]]:
        """Yield the frames, each with the seconds missing before it: None where nothing is, 0 for unknown.

        What is missing at the end comes with None in place of a frame.
        """
        self._ends_early = self._is_cut
        if self._pages:
            decoded = _decoded(container, sound)
            yield from self._pages.told(
                (None if packet is None else packet.pos, found or []) for packet, found in decoded
            )
            return
        last: list[Any] = []
        is_mp3, tag_end, failed_s, due = sound.codec_context.name.startswith("mp3"), 0, None, None
        for packet, frames in _decoded(container, sound):
            if packet is None:
                failed_s = failed_s or 0.0
                continue
            last = [*last[-1:], packet] if packet.size else last
            data = bytes(packet) if is_mp3 else b""
            if packet.pos is not None and packet.pos + packet.size <= tag_end:
                due = None  # within a picture, say
                continue
            if tag := MP3_TAG.search(data):  # in the middle: mp3s were joined
                tag_end = (packet.pos or 0) + tag.start() + tag_bytes(tag)
            if frames is None and not tag and not (packet.pos or 0) < tag_end and not MP3_HEADER.search(data):
                failed_s = (failed_s or 0.0) + float((packet.duration or 0) * packet.time_base)
            for frame in frames or ():
                time = None if frame.pts is None else frame.pts * frame.time_base
                gap_s = 0.0 if time is None or due is None else float(time - due)
                jumps = abs(gap_s) > _TOLERANCE_S
                yield frame, max(failed_s or gap_s, gap_s) if jumps else failed_s
                failed_s, start = None, due if time is None else time
                due = None if start is None else start + Fraction(frame.samples, frame.sample_rate)
        if failed_s is not None:
            yield None, failed_s
        elif self._stated_s is None or self._kind == "voc":  # which states it block by block
            self._ends_early |= ends_within(self._kind, sound.codec_context.name, last, self._file)


def _decoded(container: Any, sound: Any) -> Iterator[tuple[Any, list[Any] | None]]:
    """Yield the packets with their frames, None where they cannot be decoded; a None for one that cannot be read."""
    av, packets, failures = import_package("av"), container.demux(sound), 0
    while failures < _MOST_FAILURES:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # in some containers the next one can be read
            packets, failures = container.demux(sound), failures + 1
            yield None, None
            continue
        except IndexError:  # by PyAV, of a stream that comes later
            yield None, None
            return
        if packet is None:
            return
        failures = 0
        try:
            yield packet, packet.decode()
        except av.FFmpegError:
            yield packet, None


def _readable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _is_beyond_pyav(frame: Any) -> bool:
    """Whether PyAV cannot return a frame's samples, or looks for more planes than the eight that it has room for."""
    return frame.format.name.startswith("s64") or bool(frame.format.is_planar and frame.layout.nb_channels >= 8)


def _samples(frame: Any) -> np.ndarray:
    """Return one decoded frame as float32 (samples, channels)."""
    block = frame.to_ndarray()
    block_NC = block.T if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels)
    if block_NC.dtype == np.uint8:
        return (block_NC.astype(np.float32) - 128) / 128
    if np.issubdtype(block_NC.dtype, np.integer):
        return block_NC.astype(np.float32) / -float(np.iinfo(block_NC.dtype).min)
    return block_NC.astype(np.float32)


def _subtype(sound: Any, frame: Any) -> str:
    """Return how a stream's samples are kept, by its codec and its first frame."""
    codec, kind = sound.codec_context.name, frame.format.name.removesuffix("p")
    if codec.startswith("mp3"):
        return "MPEG_LAYER_III"
    if codec == "alac":
        return f"ALAC_{sound.codec_context.extradata[17]}"
    if codec == "flac":
        block_info = sound.codec_context.extradata
        bits = ((block_info[12] & 1) << 4 | block_info[13] >> 4) + 1
        return next((f"PCM_{name}" for most, name in ((8, "S8"), (16, "16"), (24, "24")) if bits <= most), "PCM_32")
    if not (codec.startswith("pcm_") or codec in _LOSSLESS):
        return codec.upper()
    if kind == "s32" and not _is_beyond_pyav(frame) and not (frame.to_ndarray() & 0xFF).any():
        return "PCM_24"
    return _DEPTHS.get(kind, codec.upper())
