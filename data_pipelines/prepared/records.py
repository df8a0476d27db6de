"""From a track's audio to the contents of its records, and what is to be known of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.songs.tracks import Track, TrackAudio
from madsep_jax.audio import resample
from madsep_jax.config.signal import SignalConfig
from madsep_jax.signal.framing import cut_sequence, first_frame, song_frames, window_start
from madsep_jax.signal.stft import EDGE_HOPS, analysis_window, frame_count, full_frame_count

#: What a record holds, as a TFDS example: track, offset and frames, mixture and voice.
Example = dict[str, Any]

_FULL_SCALE = 2**15
_SILENCE_DB = -60.0
_BLOCK_FRAMES = 512


@dataclass(frozen=True, kw_only=True)
class TrackFacts:
    """What is known of a prepared track."""

    split: str
    name: str
    seconds: float
    samples: int
    """At the signal's rate."""
    frames: int
    records: int
    silent: list[int]
    """Numbers of the records whose voice is below -60 dB of full scale throughout their middle frames (root mean
    square)."""
    clipped: int
    """Samples of the mixture at or beyond full scale, over both channels."""
    sum_error: float | None
    """Energy of the difference between the mixture and the sum of its stems, as a share of the mixture's; None where
    the mixture is that sum, or there are no stems beside the voice."""
    sum_error_peak: float
    """Largest difference, full scale being 1."""
    sum_error_s: float
    """Where that is, in seconds from the start."""


@dataclass(frozen=True)
class TrackSamples:
    """A track at the signal's rate, in two channels of 16 bits."""

    track: Track
    settings: FeatureSettings
    mix_NC: np.ndarray
    voice_NC: np.ndarray
    facts: TrackFacts

    def examples(self) -> Iterator[Example]:
        """Yield the contents of the track's records, in order."""
        settings, signal, sequences = self.settings, self.settings.signal, self.settings.sequences
        of_samples = settings.features == "waveform"
        mix, voice = self.mix_NC, self.voice_NC
        if not of_samples:
            mix, voice = (mono_magnitudes_of_pcm(pcm_NC, signal, settings.dtype) for pcm_NC in (mix, voice))
        for number in range(self.facts.records):
            example: Example = {"track": self.track.name}
            if of_samples:
                start = voice_start = window_start(number, signal, sequences)
                example["frames"] = np.array(song_frames(number, self.facts.samples, signal, sequences), np.int32)
            else:
                start = first_frame(number, sequences)
                voice_start = start + sequences.context
            arrays = {
                "mixture": cut_sequence(mix, start, settings.mix_shape[0]),
                "voice": cut_sequence(voice, voice_start, settings.voice_shape[0]),
            }
            yield {**example, "offset": start, **arrays}


def read_samples(track: Track, settings: FeatureSettings) -> TrackSamples:
    """Read a track, and find out what is to be known of it. Raises InputError where it cannot be used."""
    audio = track.read()
    rate = settings.signal.sample_rate
    mix_NC, voice_NC = (
        _stereo_pcm(resample(samples_NC, audio.sample_rate, rate)) for samples_NC in (audio.mixture_NC, audio.voice_NC)
    )
    records = settings.records_of(len(mix_NC))
    facts = TrackFacts(
        split=track.split,
        name=track.name,
        seconds=len(audio.mixture_NC) / audio.sample_rate,
        samples=len(mix_NC),
        frames=frame_count(len(mix_NC), settings.signal),
        records=records,
        silent=[number for number in range(records) if _is_silent(voice_NC, number, settings)],
        clipped=int(np.count_nonzero(np.abs(audio.mixture_NC) >= 1 - 1 / _FULL_SCALE)),
        **_sum_error(audio),
    )
    return TrackSamples(track, settings, mix_NC, voice_NC, facts)


def mono_magnitudes_of_pcm(pcm_NC: np.ndarray, config: SignalConfig, dtype: str) -> np.ndarray:
    """Return |STFT| of the average of the channels, of int16 samples: (frames, F) of that type.

    They are the same to the bit wherever they are computed: in float64 on the host, one transform at a time, rounded at
    the end. Those of XLA (`madsep_jax.signal.stft.mono_magnitudes`), which they equal to float32's rounding, depend in
    the last bits on the number of cores and the device.
    """
    import scipy.fft

    full, hop, width = full_frame_count(len(pcm_NC), config), config.hop_length, config.window_length
    padded_N = np.zeros(max((full - 1) * hop + width, EDGE_HOPS * hop + len(pcm_NC)))
    padded_N[EDGE_HOPS * hop : EDGE_HOPS * hop + len(pcm_NC)] = pcm_NC.mean(axis=1, dtype=np.float64) / 2**15
    frames_MW = np.lib.stride_tricks.sliding_window_view(padded_N, width)[::hop][:full]
    window_W = analysis_window(config)
    mag_MF = np.zeros((frame_count(len(pcm_NC), config), config.bins), dtype)
    for start in range(0, full, _BLOCK_FRAMES):
        # where in the buffer a frame starts changes its phase alone
        spectrum_MF = scipy.fft.rfft(frames_MW[start : start + _BLOCK_FRAMES] * window_W, config.fft_length)
        # by operations that IEEE 754 rounds in one way; np.abs takes others on other processors
        power_MF = spectrum_MF.real**2 + spectrum_MF.imag**2
        mag_MF[start : start + len(power_MF)] = np.sqrt(power_MF)
    return mag_MF


def _stereo_pcm(samples_NC: np.ndarray) -> np.ndarray:
    """Return two channels of 16 bits whose average is that of all channels."""
    if samples_NC.shape[1] != 2:
        samples_NC = np.repeat(samples_NC.mean(axis=1, keepdims=True), 2, axis=1)
    return np.rint(samples_NC * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _is_silent(voice_NC: np.ndarray, number: int, settings: FeatureSettings) -> bool:
    signal, sequences = settings.signal, settings.sequences
    start = window_start(number, signal, sequences) + sequences.context * signal.hop_length
    length = (sequences.target_frames - 1) * signal.hop_length + signal.window_length
    part_NC = voice_NC[max(start, 0) : max(start + length, 0)].astype(np.float32) / _FULL_SCALE
    return not part_NC.size or float(np.mean(part_NC**2)) < 10 ** (_SILENCE_DB / 10)


def _sum_error(audio: TrackAudio) -> dict[str, Any]:
    if audio.is_sum or len(audio.stems_NC) == 1:
        return {"sum_error": None, "sum_error_peak": 0.0, "sum_error_s": 0.0}
    error_NC = np.abs(audio.mixture_NC - np.sum(list(audio.stems_NC.values()), axis=0))
    worst = int(error_NC.max(axis=1).argmax())
    energy, error_energy = (float(np.square(x_NC, dtype=np.float64).sum()) for x_NC in (audio.mixture_NC, error_NC))
    return {
        "sum_error": error_energy / energy if energy else float(error_energy > 0),
        "sum_error_peak": float(error_NC[worst].max()),
        "sum_error_s": worst / audio.sample_rate,
    }
