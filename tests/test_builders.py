"""TFDS's own test case for each builder, on small made songs; the corpus' `.stem.mp4` against its wavs."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tiny_sets import HALF, RATE, SPECTROGRAM, WAVEFORM, write_songs, write_stems

tfds_testing = pytest.importorskip("tensorflow_datasets.testing")
av = pytest.importorskip("av")

from data_pipelines.builders import Dsd100, Embedded, Musdb18, Musdb18Hq, SongConfig, StemsFolder
from data_pipelines.embedded import EmbeddedConfig, embedded_tracks
from data_pipelines.songs.layouts import find_stem_files
from data_pipelines.songs.tracks import STEMS
from madsep_jax.audio import read_audio

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
CONFIGS = [SongConfig.of(settings) for settings in (SPECTROGRAM, HALF, WAVEFORM)]


class BuilderCase(tfds_testing.DatasetBuilderTestCase):
    """Songs of 1500 and 900 samples to train on, 33 + 21 sequences of 4 frames; one of 700 to score, 16 sequences."""

    BUILDER_CONFIG_NAMES_TO_TEST = CONFIGS
    SPLITS = {"train": 54, "test": 16}  # noqa: RUF012

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls.folder.name
        cls.write(Path(cls.folder.name))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()

    @classmethod
    def write(cls, folder):
        write_songs(folder, train=(1500, 900), test=(700,))


class Dsd100Test(BuilderCase):
    DATASET_CLASS = Dsd100

    @classmethod
    def write(cls, folder):
        for part, number, samples in (("Dev", 0, 1500), ("Dev", 1, 900), ("Test", 2, 700)):
            sources = folder / "Sources" / part / f"song {number}"
            write_stems(sources, samples, seed=number)
            mixtures = folder / "Mixtures" / part / f"song {number}"
            mixtures.mkdir(parents=True)
            (sources / "mixture.wav").rename(mixtures / "mixture.wav")


class Musdb18HqTest(BuilderCase):
    DATASET_CLASS = Musdb18Hq


class StemsFolderTest(BuilderCase):
    """Stems by other names and number, without a mixture, and a split by another name."""

    DATASET_CLASS = StemsFolder
    SPLITS = {"train": 54, "of_mine": 16}  # noqa: RUF012

    @classmethod
    def write(cls, folder):
        write_stems(folder / "train" / "a", 1500, 1, names=("vocals", "choir", "guitar"), mixture=False)
        write_stems(folder / "train" / "b", 900, 2, names=("vocals",))
        write_stems(folder / "of_mine" / "c", 700, 3)


class Musdb18Test(BuilderCase):
    """How many blocks of 1024 samples are decoded depends on the decoder, so that the sequences are counted by it."""

    DATASET_CLASS = Musdb18

    @classmethod
    def write(cls, folder):
        for split in ("train", "test"):
            (folder / split).mkdir()
            write_stem_file(folder / split / f"a {split} song.stem.mp4", seed=len(split))
        lengths = {track.split: len(track.read().mixture_NC) for track in find_stem_files(folder)}
        assert 2048 <= min(lengths.values()) == max(lengths.values()) <= 4096
        cls.SPLITS = {split: -(-(samples // 12 + 6) // 4) for split, samples in lengths.items()}


class EmbeddedTest(BuilderCase):
    """Songs of a second: 8000 // 12 + 6 frames, 168 sequences."""

    DATASET_CLASS = Embedded
    SPLITS = {"train": 168, "test": 168}  # noqa: RUF012

    @classmethod
    def write(cls, folder):
        pass

    def setUp(self):
        super().setUp()
        songs = embedded_tracks(EmbeddedConfig(sample_rate=RATE, train_songs=1, test_songs=1, seconds=1.0))
        patch = pytest.MonkeyPatch()
        patch.setattr("data_pipelines.builders.sets.corpus", lambda sample_rate: songs)
        self.addCleanup(patch.undo)


del BuilderCase  # or it would be collected itself


def write_stem_file(path, seed, blocks=2):
    """Five AAC streams of noise, as MUSDB18 has them."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w", format="mp4") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="stereo") for _ in range(5)]
        for start, stream in itertools.product(range(blocks), streams):
            noise = (0.2 * random.standard_normal((2, 1024))).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, 1024 * start
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_streams_of_the_corpus_equal_its_wavs():
    """Within 2 steps of 16 bits; the decoder may cut the padding of the last block off."""
    (track,) = find_stem_files(CORPUS)
    audio, name = track.read(), "003 - Music Delta - 80s Rock"
    assert (track.split, audio.sample_rate, tuple(audio.stems_NC)) == ("train", 44100, STEMS)
    pairs = [(CORPUS / "Mixtures" / "Test" / name / "mixture.wav", audio.mixture_NC)]
    pairs += [(CORPUS / "Sources" / "Test" / name / f"{stem}.wav", audio.stems_NC[stem]) for stem in STEMS]
    for path, decoded_NC in pairs:
        wav_NC = read_audio(path).samples_NC
        assert 0 <= len(wav_NC) - len(decoded_NC) < 1024
        assert np.abs(decoded_NC - wav_NC[: len(decoded_NC)]).max() <= 2 / 2**15
