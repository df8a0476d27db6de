"""Sound in mp4 and m4a files, by a library that carries its own decoder."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from madsep_jax.errors import InputError

SUFFIXES = (".mp4", ".m4a")


def decode_to_wav(path: Path) -> io.BytesIO:
    """Decode the first sound stream of a file (of a `.stem.mp4` the mixture) into a float32 wav file in memory.

    Raises:
        InputError: the decoder is not installed, or the file holds no sound that it can decode.
    """
    sample_rate, (samples_NC,) = decode_streams(path, 1)
    import soundfile

    wav = io.BytesIO()
    soundfile.write(wav, samples_NC, sample_rate, format="WAV", subtype="FLOAT")
    wav.seek(0)
    return wav


def decode_streams(path: Path, count: int) -> tuple[int, list[np.ndarray]]:
    """Decode the first `count` sound streams of a file: their rate in Hz, and for each float32 (samples N, channels C).

    Raises:
        InputError: the decoder is not installed, the file holds fewer streams, or none that it can decode.
    """
    with _opened(path, count) as (container, streams):
        blocks_CN: dict[int, list[np.ndarray]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams):
            blocks_CN[packet.stream.index] += [_block(frame) for frame in packet.decode()]
        sample_rate = streams[0].rate
    silence = [np.zeros((1, 0), np.float32)]
    return sample_rate, [np.concatenate(blocks or silence, axis=1).T for blocks in blocks_CN.values()]


def probe_streams(path: Path, count: int) -> tuple[int, int]:
    """Return the rate in Hz and about how many samples the first streams have, by the file's header.

    Decoding may return up to a block of 1024 samples more or fewer.

    Raises:
        InputError: as of `decode_streams`.
    """
    with _opened(path, count) as (_, [stream, *_others]):
        return stream.rate, round(float((stream.duration or 0) * stream.time_base) * stream.rate)


@contextmanager
def _opened(path: Path, count: int) -> Iterator[tuple[Any, list[Any]]]:
    """Open a file with at least so many sound streams; the decoder's errors, also in the body, become InputErrors."""
    try:
        import av
    except ImportError as error:
        raise InputError(f'{path.suffix} files need the package av: pip install "madsep-jax[audio]"') from error
    try:
        with av.open(str(path)) as container:
            found = list(container.streams.audio)
            if len(found) < count:
                raise InputError(f"{path}: found {len(found)} sound streams, expected {count}")
            yield container, found[:count]
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be read as audio ({error.strerror}), expected mp4 or m4a sound") from error


def _block(frame: Any) -> np.ndarray:
    """Return one decoded frame as float32 (channels, samples)."""
    block = frame.to_ndarray()
    if not frame.format.is_planar:
        block = block.reshape(-1, frame.layout.nb_channels).T
    if np.issubdtype(block.dtype, np.integer):
        return block.astype(np.float32) / -float(np.iinfo(block.dtype).min)
    return block.astype(np.float32)
