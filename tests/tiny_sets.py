"""Small prepared sets, of songs of a second or two at 8 kHz."""

from pathlib import Path

import numpy as np
import soundfile
from tiny import SEQUENCES, SIGNAL

from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.songs.tracks import STEMS

SPECTROGRAM = FeatureSettings(signal=SIGNAL, sequences=SEQUENCES)
HALF = FeatureSettings(dtype="float16", signal=SIGNAL, sequences=SEQUENCES)
WAVEFORM = FeatureSettings(features="waveform", dtype="int16", signal=SIGNAL, sequences=SEQUENCES)
RATE = SIGNAL.sample_rate


def write_stems(folder: Path, samples: int, seed: int, names=STEMS, mixture=True) -> None:
    """Noise on the grid of 16 bits; the voice is silent in the first half."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    stems = {name: random.integers(-7000, 7000, (samples, 2)).astype(np.int16) for name in names}
    stems["vocals"][: samples // 2] = 0
    if mixture:
        stems["mixture"] = np.sum(list(stems.values()), axis=0).astype(np.int16)
    for name, samples_NC in stems.items():
        soundfile.write(folder / f"{name}.wav", samples_NC, RATE)


def write_songs(folder: Path, train=(1500, 900, 2100), test=(700,)) -> Path:
    """Songs of so many samples, in the layout of MUSDB18-HQ."""
    for split, lengths in (("train", train), ("test", test)):
        for number, samples in enumerate(lengths):
            write_stems(folder / split / f"{split} {number}", samples, seed=10 * number + (split == "test"))
    return folder


def prepare_songs(songs: Path, data_dir: Path, settings: FeatureSettings = SPECTROGRAM, name="musdb18hq") -> Path:
    """Prepare a set in this process; returns its folder."""
    from data_pipelines.builders import BUILDERS
    from data_pipelines.builders.preparation import sketch
    from data_pipelines.prepared.runners import run_here

    preparation = sketch(BUILDERS[name].of(settings, data_dir), songs)
    preparation.run(run_here)
    return preparation.folder


def files_in(folder: Path) -> dict[str, bytes]:
    """All files, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
