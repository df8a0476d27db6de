"""Precomputed magnitude spectrograms of tracks, kept on disk once computed."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.songs.tracks import Track, fingerprint_of
from madsep_jax.audio import resample
from madsep_jax.config.signal import SignalConfig
from madsep_jax.errors import InputError
from madsep_jax.host.files import written_aside
from madsep_jax.signal.stft import mono_magnitudes

#: Part of every cache key: to be raised when what is computed changes.
_VERSION = 1


@dataclass(frozen=True)
class TrackFeatures:
    """Magnitudes of one track, read from disk as they are used: float32 (frames, F)."""

    name: str
    mix_MF: np.ndarray
    voice_MF: np.ndarray

    @property
    def frames(self) -> int:
        """Frames of the track."""
        return len(self.mix_MF)


def load_features(
    tracks: Sequence[Track],
    signal: SignalConfig,
    cache: Path,
    on_track: Callable[[Track], None] = lambda track: None,
) -> list[TrackFeatures]:
    """Return the magnitudes of mixture and voice of each track, both averaged to mono, computing what is not cached.

    Tracks of another rate than the signal's are resampled. The folder `cache` can be shared between processes;
    `on_track` is called after each track. Raises InputError where a track cannot be used, or the cache cannot be
    written.
    """
    features = []
    for track in tracks:
        path = cache / "spectrograms" / f"{_key(track, signal)}.npy"
        both = _read(path)
        if both is None:
            _write(path, _compute(track, signal))
            both = np.load(path, mmap_mode="r")
        features.append(TrackFeatures(track.name, *both))
        on_track(track)
    return features


def _compute(track: Track, signal: SignalConfig) -> np.ndarray:
    audio = track.read()
    both = (audio.mixture_NC, audio.voice_NC)
    return np.stack(
        [mono_magnitudes(resample(samples, audio.sample_rate, signal.sample_rate), signal) for samples in both]
    )


def _key(track: Track, signal: SignalConfig) -> str:
    content = {"version": _VERSION, "track": track.fingerprint(), "signal": dataclasses.asdict(signal)}
    return fingerprint_of(json.dumps(content, sort_keys=True), 32)


def _read(path: Path) -> np.ndarray | None:
    """Return what is cached; None where nothing is, or only the remains of a damaged file."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None


def _write(path: Path, array: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, aside.open("wb") as file:
            np.save(file, array)
    except OSError as error:
        raise InputError(f"{path.parent}: the cache cannot be written: {error.strerror}") from None
