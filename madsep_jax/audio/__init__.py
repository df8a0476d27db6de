"""Sound files: what they hold, reading, writing, and other sampling rates."""

from madsep_jax.audio.files import PCM_BITS, AudioInfo, probe_audio, read_audio, resample, write_audio

__all__ = ["PCM_BITS", "AudioInfo", "probe_audio", "read_audio", "resample", "write_audio"]
