"""What the records of a prepared set hold, and how large they are."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from madsep_jax.config.io import differences
from madsep_jax.config.signal import SequenceConfig, SignalConfig
from madsep_jax.errors import require
from madsep_jax.signal.framing import sequence_count, window_samples
from madsep_jax.signal.stft import frame_count

Features = Literal["spectrogram", "waveform"]
_LARGEST_RECORD = 64 * 2**20

#: About what a record takes beside its arrays: names of fields, the track's name, the offset.
_TEXT_BYTES = 300

_CHANNELS = 2


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """Form of the features, and the signal and sequences they are of.

    Either form is of the same samples: at the signal's rate, in two channels of 16 bits.
    """

    features: Features = "spectrogram"
    dtype: Literal["float32", "float16", "int16"] = "float32"
    """Of the magnitudes: float32 or float16. Waveforms are int16."""
    signal: SignalConfig = field(default_factory=SignalConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)

    def __post_init__(self) -> None:
        require(self.features in ("spectrogram", "waveform"), self, "features", "'spectrogram' or 'waveform'")
        dtypes = ("int16",) if self.features == "waveform" else ("float32", "float16")
        require(self.dtype in dtypes, self, "dtype", f"{' or '.join(dtypes)} for {self.features}s")
        require(self.record_bytes < _LARGEST_RECORD, self, "sequences", "records of less than 64 MiB, fewer frames")

    @property
    def mix_shape(self) -> tuple[int, int]:
        """Shape of a record's mixture: (S, F) magnitudes, or (N, 2) samples."""
        if self.features == "waveform":
            return window_samples(self.signal, self.sequences), _CHANNELS
        return self.sequences.frames, self.signal.bins

    @property
    def voice_shape(self) -> tuple[int, int]:
        """Shape of a record's voice: (T, F) magnitudes, or (N, 2) samples."""
        return self.mix_shape if self.features == "waveform" else (self.sequences.target_frames, self.signal.bins)

    @property
    def array_bytes(self) -> int:
        """Bytes of a record's two arrays."""
        return (np.prod(self.mix_shape) + np.prod(self.voice_shape)).item() * np.dtype(self.dtype).itemsize

    @property
    def record_bytes(self) -> int:
        """About the bytes of a record."""
        return self.array_bytes + _TEXT_BYTES

    @property
    def config_name(self) -> str:
        """Name of the TFDS config: the form, and the settings in which it differs from the paper's.

        For example "spectrogram", "spectrogram-float16", "waveform-rate11025-window513-hop96-fft1024".
        """
        parts = [self.features, *(["float16"] if self.dtype == "float16" else [])]
        for mine, papers in ((self.signal, SignalConfig()), (self.sequences, SequenceConfig())):
            for name, (_, value) in differences(papers, mine).items():
                parts.append(f"{'rate' if name == 'sample_rate' else name.partition('_')[0]}{value}")
        return "-".join(parts)

    def records_of(self, samples: int) -> int:
        """Return the records of a track of so many samples, at the signal's rate."""
        return sequence_count(frame_count(samples, self.signal), self.sequences)
