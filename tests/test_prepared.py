"""Prepared sets. Oracles: the songs' spectrograms computed directly; the two forms of features against each other."""

import dataclasses
import itertools

import numpy as np
import pytest
from tiny import GRU, SEQUENCES, SIGNAL, assert_close
from tiny_sets import HALF, RATE, SPECTROGRAM, WAVEFORM, files_in, prepare_songs, write_songs

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.sources import SongSpectrograms, mixture_level
from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.songs.layouts import find_tracks
from data_pipelines.songs.spectrograms import load_features
from madsep_jax import DataConfig, InputError, SequenceConfig, TrainingConfig
from madsep_jax.signal.framing import first_frame, window_start
from madsep_jax.train.batch import magnitudes_of

pytest.importorskip("tensorflow_datasets")

from data_pipelines.batches.pipeline import training_batches
from data_pipelines.prepared.index import find_set, read_index
from data_pipelines.prepared.reader import PreparedSongs

TRAINING = TrainingConfig(batch_size=3, epochs=2, seed=5)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def sets(songs, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("prepared")
    return {settings: prepare_songs(songs, data_dir, settings) for settings in (SPECTROGRAM, HALF, WAVEFORM)}


def batches(source, **training):
    order = TrainingOrder.of_songs(source.song_frames, SEQUENCES, dataclasses.replace(TRAINING, **training))
    return list(training_batches(source, order))


@pytest.mark.parametrize("settings", [SPECTROGRAM, HALF, WAVEFORM], ids=lambda settings: settings.config_name)
def test_a_record_says_what_it_is(sets, settings):
    prepared = PreparedSongs(sets[settings])
    for song, track in enumerate(prepared.tracks):
        assert track.name == f"train {song}"
        for number in range(track.records):
            example = prepared.example(song, number)
            start = first_frame(number, SEQUENCES)
            assert example["track"] == track.name
            assert example["offset"] == (window_start(number, SIGNAL, SEQUENCES) if settings == WAVEFORM else start)
            assert example["mixture"].dtype == settings.dtype


def test_spectrograms_are_those_of_the_songs(songs, sets, tmp_path):
    """The songs have the rate and the 16 bits of the prepared samples, whose magnitudes are rounded once."""
    tracks = [track for track in find_tracks(songs) if track.split == "train"]
    expected = batches(SongSpectrograms(load_features(tracks, SIGNAL, tmp_path), SEQUENCES))
    found = batches(PreparedSongs(sets[SPECTROGRAM]))
    assert len(found) == len(expected) == 2 * 33  # of 33 + 21 + 46 sequences, ceil((samples // 12 + 6) / 4)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.mix_BSF.dtype == mine.voice_BTF.dtype == np.float32
        assert_close(mine.mix_BSF, theirs.mix_BSF, 1e-6)
        assert_close(mine.voice_BTF, theirs.voice_BTF, 1e-6)


def test_waveforms_give_the_same_batches(sets):
    spectrograms, waveforms = batches(PreparedSongs(sets[SPECTROGRAM])), batches(PreparedSongs(sets[WAVEFORM]))
    for spectrogram, waveform in zip(spectrograms, waveforms, strict=True):
        mix_BSF, voice_BTF = magnitudes_of(waveform, SIGNAL, SEQUENCES)
        assert_close(mix_BSF, spectrogram.mix_BSF, 1e-6)
        assert_close(voice_BTF, spectrogram.voice_BTF, 1e-6)


@pytest.mark.parametrize("settings", [SPECTROGRAM, WAVEFORM], ids=lambda settings: settings.features)
def test_resumed_anywhere_the_next_hundred_batches_are_the_same(sets, settings):
    """To the bit, with sequences left out and batches filled up."""
    songs, training = PreparedSongs(sets[settings]), dataclasses.replace(TRAINING, steps=400)
    data = DataConfig(features=settings.features, silent_share=0.3, last_batch="pad")
    order = TrainingOrder.of_songs(songs.song_frames, SEQUENCES, training, data, songs.silent)
    whole = list(training_batches(songs, order))
    for first_step in np.random.default_rng(2).integers(1, 300, 3).tolist():
        resumed = itertools.islice(training_batches(PreparedSongs(sets[settings]), order, first_step), 100)
        for found, expected in zip(resumed, whole[first_step : first_step + 100], strict=True):
            for mine, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_half_precision_rounds_the_same_batches(sets):
    """By at most half a step of 11 bits, and float32's own rounding."""
    whole, half = batches(PreparedSongs(sets[SPECTROGRAM])), batches(PreparedSongs(sets[HALF]))
    for mine, theirs in zip(half, whole, strict=True):
        assert mine.mix_BSF.dtype == np.float16
        np.testing.assert_allclose(mine.mix_BSF.astype(np.float32), theirs.mix_BSF, rtol=2**-11 * 1.001, atol=1e-7)


@pytest.mark.parametrize(
    ("form", "rtol"),
    [
        pytest.param(WAVEFORM, 1e-4, id="waveform"),
        # thorough, as the default tests are compiled for processors that cannot convert 16 bits
        pytest.param(HALF, 0.02, id="float16", marks=pytest.mark.thorough),
    ],
)
def test_all_forms_train_alike(sets, form, rtol):
    """The metrics of each of four batches are those of spectrograms; each batch from the first state.

    Not of one step after the other: Adam's first step takes the sign of each gradient, whatever its size.
    """
    from madsep_jax.train.step import compile_train_step, init_state

    logs = {}
    for settings in (SPECTROGRAM, form):
        found = batches(PreparedSongs(sets[settings]), batch_size=2, steps=4)
        step, _ = compile_train_step(GRU, init_state(GRU), found[0])
        logs[settings] = [[float(value) for value in step(init_state(GRU), batch)[1].values()] for batch in found]
    np.testing.assert_allclose(logs[form], logs[SPECTROGRAM], rtol=rtol)


def test_the_index_knows_the_songs(songs, sets):
    index = read_index(sets[WAVEFORM])
    assert [(track.split, track.name, track.samples) for track in index.tracks] == [
        ("test", "test 0", 700),
        ("train", "train 0", 1500),
        ("train", "train 1", 900),
        ("train", "train 2", 2100),
    ]
    for track in index.tracks:
        assert track.frames == track.samples // 12 + 6
        assert (track.clipped, track.sum_error, track.seconds) == (0, 0.0, track.samples / RATE)
        # the voice sets in at half the song, so that the windows of the middle frames reach into it from there on
        first_sung = min(set(range(track.records)) - set(track.silent))
        end = 12 * (4 * first_sung - 3 + 3) + 65
        assert track.silent[:first_sung] == list(range(first_sung))
        assert end - 48 <= track.samples // 2 < end


def test_prepared_again_the_files_are_the_same(songs, sets, tmp_path):
    for settings, folder in sets.items():
        assert files_in(prepare_songs(songs, tmp_path, settings)) == files_in(folder)


def test_tfds_reads_it(sets):
    from data_pipelines.tfds_cpu import tfds

    builder = tfds.builder_from_directory(str(sets[SPECTROGRAM]))
    source, prepared = builder.as_data_source(split="train"), PreparedSongs(sets[SPECTROGRAM])
    places = [(song, number) for song, track in enumerate(prepared.tracks) for number in range(track.records)]
    assert len(source) == len(places)
    for found, (song, number) in itertools.islice(zip(source, places, strict=True), 0, None, 17):
        np.testing.assert_array_equal(found["mixture"], prepared.example(song, number)["mixture"])


def test_names_of_configs():
    assert FeatureSettings().config_name == "spectrogram"
    assert FeatureSettings(dtype="float16").config_name == "spectrogram-float16"
    other = FeatureSettings(features="waveform", dtype="int16", sequences=SequenceConfig(frames=120, tail="drop"))
    assert other.config_name == "waveform-frames120-taildrop"


def test_records_stay_below_64_mib():
    with pytest.raises(InputError, match=r"FeatureSettings.sequences: .* expected records of less than 64 MiB"):
        FeatureSettings(sequences=SequenceConfig(frames=8000))


def test_find_set(sets, tmp_path):
    folder = sets[SPECTROGRAM]
    assert find_set(folder) == find_set(folder.parent) == folder
    with pytest.raises(InputError, match=r"several prepared sets \(spectrogram-.*, spectrogram-.*, waveform-.*\)"):
        find_set(folder.parent.parent)
    with pytest.raises(InputError, match="found no prepared set, expected one by"):
        find_set(tmp_path)


@pytest.mark.parametrize("settings", [SPECTROGRAM, HALF, WAVEFORM], ids=lambda settings: settings.config_name)
def test_the_level_of_a_set_is_that_of_its_mixtures(songs, sets, settings):
    """Root mean square of noise, to 2 %: sequences overlap, and songs end within a frame."""
    mixtures = [track.read().mixture_NC.mean(axis=1) for track in find_tracks(songs) if track.split == "train"]
    expected = np.sqrt(np.mean(np.concatenate(mixtures) ** 2))
    prepared = PreparedSongs(sets[settings])
    order = TrainingOrder.of_songs(prepared.song_frames, SEQUENCES, TRAINING)
    assert mixture_level(prepared, order, SIGNAL) == pytest.approx(expected, rel=0.02)


def test_the_level_of_whole_songs_spectrograms(songs, tmp_path):
    tracks = [track for track in find_tracks(songs) if track.split == "train"]
    expected = np.sqrt(np.mean(np.concatenate([track.read().mixture_NC.mean(axis=1) for track in tracks]) ** 2))
    source = SongSpectrograms(load_features(tracks, SIGNAL, tmp_path), SEQUENCES)
    order = TrainingOrder.of_songs(source.song_frames, SEQUENCES, TRAINING)
    assert mixture_level(source, order, SIGNAL) == pytest.approx(expected, rel=0.02)
