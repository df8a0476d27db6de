"""Sound in mp4 and m4a files, by a library that carries its own decoder."""

import io
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
    try:
        import av
        import soundfile
    except ImportError as error:
        raise InputError(f'{path.suffix} files need the package av: pip install "madsep-jax[audio]"') from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path}: found no sound stream, expected one")
            stream = container.streams.audio[0]
            blocks_CN = [_block(frame) for frame in container.decode(stream)]
            sample_rate = stream.rate
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be read as audio ({error.strerror}), expected mp4 or m4a sound") from error
    wav = io.BytesIO()
    samples_NC = np.concatenate(blocks_CN, axis=1).T if blocks_CN else np.zeros((0, 1), np.float32)
    soundfile.write(wav, samples_NC, sample_rate, format="WAV", subtype="FLOAT")
    wav.seek(0)
    return wav


def _block(frame: Any) -> np.ndarray:
    """Return one decoded frame as float32 (channels, samples)."""
    block = frame.to_ndarray()
    if not frame.format.is_planar:
        block = block.reshape(-1, frame.layout.nb_channels).T
    if np.issubdtype(block.dtype, np.integer):
        return block.astype(np.float32) / -float(np.iinfo(block.dtype).min)
    return block.astype(np.float32)
