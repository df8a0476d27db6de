"""Sound that FFmpeg decodes, by PyAV, which carries its own: every container and codec, found by content."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import FileIO
from typing import Any

import numpy as np

from madsep_jax.audio import ogg
from madsep_jax.audio.info import Missing, StreamInfo, UndecodableError, import_package

#: Seconds by which timestamps may jump, and a length in a header exceed what is decoded, without anything missing:
#: some containers count in milliseconds, and a codec's last block need not be full.
_TOLERANCE_S = 0.05

#: Containers that state the length of each stream; the others estimate it by the bit rate, or that of the whole.
_STATING = ("mov", "flac", "wav", "w64", "aiff", "caf", "au", "avi", "ogg", "ape", "wv", "tta", "tak")

#: Codecs whose samples are those that were encoded, but for `pcm_…`.
_LOSSLESS = ("flac", "wavpack", "tta", "ape", "tak", "mlp", "truehd", "wmalossless", "shorten", "als")

#: Marks of an mp3's first frame, which tells its length and holds no sound.
_MP3_HEADER = re.compile(rb"Xing|Info|VBRI")

_TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "license", "track")


class FfmpegSource:
    """One sound stream of a file, open for reading."""

    def __init__(self, file: FileIO, stream: int = 0) -> None:
        """Look at the first sound. Raises UndecodableError where there is none that can be decoded."""
        self._file, self._stream, self.position = file, stream, 0
        self.found: list[Missing] = []  # so far
        with self._opened() as (container, sound):
            frame = next((frame for frame, _ in _frames(container, sound) if frame.samples), None)
            if frame is None:
                raise UndecodableError("no sound in it can be decoded")
            kind = container.format.name.partition(",")[0]
            subtype = _subtype(sound, frame)
            format = "MP4" if kind == "mov" else kind.upper()
            self.info = StreamInfo(frame.sample_rate, frame.layout.nb_channels, None, format, subtype)
            self.layout = str(frame.layout.name)
            self._stated_s = self._read_stated_s(kind, container, sound)
            self._has_end = kind != "ogg" or ogg.has_end(self._file)
            self.about_s = self._stated_s or (container.duration / 1e6 if container.duration else None)
            metadata = {name.lower(): text for name, text in {**container.metadata, **sound.metadata}.items()}
            names = {name: name.replace("track", "tracknumber") for name in _TAGS if metadata.get(name)}
            self.tags = {names[name]: metadata[name] for name in names}

    def decode(self, start: int) -> Iterator[np.ndarray]:
        """Yield blocks, float32 (samples N, channels C), from a sample on."""
        self.found, self.position = [], 0
        with self._opened() as (container, sound):
            for frame, lost_s in self._uniform(_frames(container, sound)):
                if lost_s:
                    self.found.append(Missing(self.position / self.info.sample_rate, lost_s))
                skipped = max(start - self.position, 0)
                self.position += frame.samples
                if skipped < frame.samples:
                    yield _samples(frame)[skipped:]

    def missing(self) -> tuple[Missing, ...]:
        """Return what is missing, once all was decoded."""
        found, at_s = list(self.found), self.position / self.info.sample_rate
        rest_s = (self._stated_s or 0) - at_s - sum(part.seconds for part in found)
        if rest_s > _TOLERANCE_S:
            found.append(Missing(at_s, rest_s))
        elif rest_s > 0 and found:  # a hole takes a little more than the packets that it damages
            found[-1] = Missing(found[-1].at_s, found[-1].seconds + rest_s)
        if not self._has_end:
            found.append(Missing(at_s, 0))
        return tuple(found)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        av = import_package("av")
        self._file.seek(0)
        # By its number: FFmpeg takes hints from a name. No other file or address is opened for what it says.
        options = {"fd": str(self._file.fileno()), "protocol_whitelist": "fd"}
        try:
            with av.open("fd:", container_options=options, metadata_errors="replace") as container:
                streams = container.streams.audio
                if len(streams) <= self._stream:
                    raise UndecodableError(f"found {len(streams)} sound streams, expected {self._stream + 1}")
                yield container, streams[self._stream]
        except (av.FFmpegError, MemoryError) as e:
            raise UndecodableError(getattr(e, "strerror", "") or str(e)) from e

    def _uniform(self, frames: Iterator[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
        """Yield frames of the first one's rate and channels: where these change within a stream, it is converted."""
        av, converter, converted = import_package("av"), None, None
        for frame, lost_s in frames:
            found = (frame.format.name, frame.layout.name, frame.sample_rate)
            if found != converted and converter:
                yield from ((last, 0.0) for last in converter.resample(None))
                converter = None
            if frame.sample_rate == self.info.sample_rate and frame.layout.name == self.layout:
                yield frame, lost_s
                continue
            if converter is None:
                converter, converted = av.AudioResampler("fltp", self.layout, self.info.sample_rate), found
            frame.pts = None
            for part in converter.resample(frame):
                yield part, lost_s
                lost_s = 0.0
        if converter:
            yield from ((last, 0.0) for last in converter.resample(None))

    def _read_stated_s(self, kind: str, container: Any, sound: Any) -> float | None:
        """Return the seconds of the stream by the header, or None where it would be an estimate."""
        if kind in _STATING or (kind == "mp3" and self._has_mp3_header()):
            return float(sound.duration * sound.time_base) if sound.duration else None
        alone = len(container.streams) == len(container.streams.audio) == 1
        return container.duration / 1e6 if alone and container.duration and kind in ("matroska", "asf") else None

    def _has_mp3_header(self) -> bool:
        self._file.seek(0)
        head = self._file.read(10)
        tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
        self._file.seek(tag if head[:3] == b"ID3" else 0)
        return bool(_MP3_HEADER.search(self._file.read(4096)))


def _frames(container: Any, sound: Any) -> Iterator[tuple[Any, float]]:
    """Yield the decoded frames, each with the seconds that are missing before it."""
    av = import_package("av")
    packets, failed_s, due = container.demux(sound), 0.0, None
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the file ends here, or nothing more of it can be read
            packet = None
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if not _MP3_HEADER.search(bytes(packet)):  # as in the middle of mp3s that were joined
                failed_s += float((packet.duration or 0) * packet.time_base)
            continue
        for frame in frames:
            time = None if frame.pts is None else frame.pts * frame.time_base
            gap_s = 0.0 if time is None or due is None else float(time - due)
            yield frame, max(failed_s, gap_s if gap_s > _TOLERANCE_S else 0.0)
            failed_s, start = 0.0, due if time is None else time
            due = None if start is None else start + Fraction(frame.samples, frame.sample_rate)


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
    if not (codec.startswith("pcm_") or codec in _LOSSLESS):
        return codec.upper()
    if kind == "s32" and not (frame.to_ndarray() & 0xFF).any():
        return "PCM_24"
    return {"u8": "PCM_U8", "s16": "PCM_16", "s32": "PCM_32", "flt": "FLOAT", "dbl": "DOUBLE"}.get(kind, codec.upper())
