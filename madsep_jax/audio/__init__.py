"""Sound files: what they hold, reading and writing them block by block or whole, and other sampling rates."""

from madsep_jax.audio.info import Audio, AudioInfo, Missing, StreamInfo, missing_line
from madsep_jax.audio.reading import AudioReader, open_audio, probe_audio, read_audio
from madsep_jax.audio.resampling import resample
from madsep_jax.audio.writing import FLOAT_SUBTYPES, PCM_BITS, AudioWriter, open_writer, write_audio

__all__ = [
    "FLOAT_SUBTYPES",
    "PCM_BITS",
    "Audio",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Missing",
    "StreamInfo",
    "missing_line",
    "open_audio",
    "open_writer",
    "probe_audio",
    "read_audio",
    "resample",
    "write_audio",
]
