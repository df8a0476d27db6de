"""A folder of songs of two seconds, in the layout of DSD100: tones for a voice over noise bursts and low tones."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


def make_songs(folder: Path, train: int = 2, test: int = 2, seconds: float = 2.0) -> Path:
    for split, songs in (("Dev", train), ("Test", test)):
        for number in range(songs):
            name = f"{number:02d} - {split} song"
            stems = _stems(10 * number + (split == "Test"), round(RATE * seconds))
            for stem, samples_NC in stems.items():
                _write(folder / "Sources" / split / name / f"{stem}.wav", samples_NC)
            _write(folder / "Mixtures" / split / name / "mixture.wav", sum(stems.values()))
    return folder


def _stems(seed: int, frames: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    t_N = np.arange(frames) / RATE
    vibrato_N = 5 * np.sin(2 * np.pi * 5 * t_N)
    voice_N = sum(np.sin(2 * np.pi * k * (300 + 20 * seed) * t_N + vibrato_N) / k for k in range(1, 6))
    burst_N = random.standard_normal(frames) * np.exp(-8 * (t_N % 0.25))
    bass_N = np.sin(2 * np.pi * (60 + seed) * t_N)
    chord_N = sum(np.sin(2 * np.pi * hz * t_N) for hz in random.uniform(200, 900, 3))
    mono = {"vocals": 0.15 * voice_N, "drums": 0.1 * burst_N, "bass": 0.1 * bass_N, "other": 0.05 * chord_N}
    pan = {"vocals": [1.0, 1.0], "drums": [0.8, 1.0], "bass": [1.0, 0.9], "other": [0.6, 1.0]}
    return {stem: samples_N[:, None] * pan[stem] for stem, samples_N in mono.items()}


def _write(path: Path, samples_NC: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples_NC, RATE, subtype="FLOAT")
