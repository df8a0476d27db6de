"""Oracles: a plain NumPy cut of the same songs; each sequence once an epoch; reads and resamplings counted. Exact."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import GRU, SEQUENCES, SIGNAL, assert_close

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.sources import SongSpectrograms
from data_pipelines.songs.spectrograms import TrackFeatures, load_features
from data_pipelines.songs.tracks import TrackAudio
from madsep_jax import InputError, SequenceConfig, TrainingConfig
from madsep_jax.host.files import user_cache
from madsep_jax.signal.stft import mono_magnitudes

SONG_FRAMES = [9, 14, 4, 23, 5]  # 3 + 4 + 1 + 6 + 2 = 16 sequences of T = 4
TRAINING = TrainingConfig(batch_size=3, epochs=2, seed=7)  # 5 steps an epoch, one sequence left over
BINS = 3


def order_of(sequences=SEQUENCES, **training):
    return TrainingOrder.of_songs(SONG_FRAMES, sequences, dataclasses.replace(TRAINING, **training))


@pytest.fixture(scope="module")
def features():
    """Frames that hold 100 · song + frame + 1; the voice is the negative."""
    songs = [np.tile(100 * i + np.arange(n) + 1, (BINS, 1)).T.astype(np.float32) for i, n in enumerate(SONG_FRAMES)]
    return [TrackFeatures(f"song {i}", mix_MF, -mix_MF) for i, mix_MF in enumerate(songs)]


# The order.


@pytest.mark.parametrize("order", ["global", "passes"])
def test_every_sequence_once_an_epoch(order):
    found = order_of(order=order, songs_per_pass=5)
    for epoch in range(3):
        assert sorted(found.epoch(epoch)) == list(range(16))
    pairs = list(zip(found.song_of.tolist(), found.index_in_song.tolist(), strict=True))
    assert pairs == [(song, index) for song, count in enumerate([3, 4, 1, 6, 2]) for index in range(count)]


@pytest.mark.parametrize("order", ["global", "passes"])
def test_the_order_is_a_pure_function_of_seed_and_epoch(order):
    """And another one for another seed or epoch, whatever was asked for before."""
    found = order_of(order=order)
    first = found.epoch(3).tolist()
    found.epoch(0)
    assert found.epoch(3).tolist() == order_of(order=order).epoch(3).tolist() == first
    assert found.epoch(4).tolist() != first
    assert order_of(order=order, seed=8).epoch(3).tolist() != first


def test_the_order_stays_what_it_was():
    """Resumed trainings rely on it. NumPy keeps this stream for good."""
    assert order_of().epoch(0).tolist() == [4, 15, 7, 0, 1, 9, 5, 10, 3, 14, 13, 6, 12, 11, 2, 8]


def test_passes_keep_neighbouring_songs_together():
    """Songs 0 and 1, then 2 and 3: 7 sequences each, shuffled within; song 4 fills no pass and is left out."""
    found = order_of(order="passes", songs_per_pass=2)
    chosen = found.epoch(0)
    songs = found.song_of[chosen].tolist()
    assert [set(songs[:7]), set(songs[7:])] == [{0, 1}, {2, 3}]
    assert len(songs) == 14
    assert chosen.tolist() != sorted(chosen)
    assert songs[:7] != sorted(songs[:7])


def test_steps():
    assert order_of().steps_per_epoch == 5
    assert order_of().total_steps == 10
    assert order_of(steps=7).total_steps == 7
    drop = SequenceConfig(frames=8, context=2, tail="drop")
    assert order_of(drop).song_of.tolist() == [1, 1, 1, 3, 3, 3]  # floors of 2, 3, 1, 5, 1; whole batches of 3


def test_too_few_sequences():
    with pytest.raises(InputError, match=r"^training songs: found 16 sequences in 5 songs, expected .* batch of 17$"):
        order_of(batch_size=17)
    with pytest.raises(InputError, match="found 0 sequences in 0 songs"):
        TrainingOrder.of_songs([], SEQUENCES, TRAINING)


# The batches.


def plain_batches(features, order):
    """Frame by frame, with zeros where the song has none."""
    context, target = SEQUENCES.context, SEQUENCES.target_frames
    for epoch in itertools.count():
        chosen = order.epoch(epoch)
        for start in range(0, len(chosen) - TRAINING.batch_size + 1, TRAINING.batch_size):
            mix, voice = np.zeros((3, SEQUENCES.frames, BINS)), np.zeros((3, target, BINS))
            for row, number in enumerate(chosen[start : start + TRAINING.batch_size]):
                song = features[order.song_of[number]]
                for s in range(SEQUENCES.frames):
                    frame = order.index_in_song[number] * target + s - context
                    if 0 <= frame < song.frames:
                        mix[row, s] = song.mix_MF[frame]
                        if 0 <= s - context < target:
                            voice[row, s - context] = song.voice_MF[frame]
            yield mix, voice


@pytest.fixture(scope="module")
def training_batches():
    pytest.importorskip("tensorflow")
    from data_pipelines.batches.pipeline import training_batches

    return training_batches


def test_batches_are_the_plain_cut(features, training_batches):
    order = order_of()
    found = list(training_batches(SongSpectrograms(features, SEQUENCES), order))
    assert len(found) == 10
    for batch, (mix_BSF, voice_BTF) in zip(found, plain_batches(features, order), strict=False):
        assert batch.mix_BSF.dtype == batch.voice_BTF.dtype == np.float32
        np.testing.assert_array_equal(batch.mix_BSF, mix_BSF)
        np.testing.assert_array_equal(batch.voice_BTF, voice_BTF)


@pytest.mark.parametrize("first_step", [0, 3, 7, 10])
def test_a_late_start_is_the_tail_of_the_whole(features, training_batches, first_step):
    whole = list(training_batches(SongSpectrograms(features, SEQUENCES), order_of()))
    tail = list(training_batches(SongSpectrograms(features, SEQUENCES), order_of(), first_step))
    assert len(tail) == 10 - first_step
    for found, expected in zip(tail, whole[first_step:], strict=True):
        np.testing.assert_array_equal(found.mix_BSF, expected.mix_BSF)
        np.testing.assert_array_equal(found.voice_BTF, expected.voice_BTF)


def test_nothing_is_tuned_while_batches_come(features, training_batches, monkeypatch):
    """Of 25 ends of 300 batches three took as long as the batches had, while the thread that tunes slept."""
    from data_pipelines.tensorflow_cpu import tf

    seen, kind = [], type(tf.data.Dataset.range(1).prefetch(1).with_options(tf.data.Options()))
    iterate = kind.as_numpy_iterator
    monkeypatch.setattr(kind, "as_numpy_iterator", lambda found: seen.append(found.options()) or iterate(found))
    assert len(list(training_batches(SongSpectrograms(features, SEQUENCES), order_of()))) == 10
    assert [options.autotune.enabled for options in seen] == [False]


def test_tensorflow_sees_no_accelerator(training_batches):
    from data_pipelines.tensorflow_cpu import tf

    assert tf.config.get_visible_devices("GPU") == tf.config.get_visible_devices("TPU") == []


def run_new(code, path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(Path(__file__).parents[1])])}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_triton_comes_before_tensorflow(training_batches, tmp_path):
    """Behind it it ends the process with a segmentation fault; one that cannot be imported is passed over."""
    (tmp_path / "triton.py").write_text("import sys\nprint('tensorflow' in sys.modules)\nraise RuntimeError('old')\n")
    done = run_new("import data_pipelines.tensorflow_cpu", tmp_path)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_a_user_s_own_tensorflow_is_no_segmentation_fault(training_batches, tmp_path):
    """Triton is not imported behind it; what PyTorch would do is refused in one line, where that is to be timed."""
    (tmp_path / "triton.py").write_text("print('imported')\n")
    done = run_new("import tensorflow, data_pipelines.tensorflow_cpu", tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    pytest.importorskip("torch")
    code = """
import tensorflow
from experiments.benchmarks.peer.run import peer_device
from madsep_jax.errors import InputError
try:
    peer_device("cpu")
except InputError as error:
    print(error)
"""
    done = run_new(code, tmp_path)
    said = "--peer torch: found TensorFlow imported before Triton, expected `import triton` before it\n"
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_tensorflow_and_pytorch_s_optimiser_in_one_process(training_batches, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    code = """
from data_pipelines.tensorflow_cpu import tf
import torch, triton
weight = torch.nn.Parameter(torch.zeros(3))
optimiser = torch.optim.Adam([weight])
weight.sum().backward()
optimiser.step()
print(int(tf.reduce_sum(tf.ones(3))), bool((weight < 0).all()))
"""
    done = run_new(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "3 True\n"), done.stderr


# The precomputed spectrograms.


class FakeTrack:
    """Half a second of noise; counts how often it is read."""

    split, duration_s = "train", 0.5

    def __init__(self, name="song", sample_rate=SIGNAL.sample_rate, fingerprint=""):
        self.name, self.sample_rate, self.reads = name, sample_rate, 0
        self.text = fingerprint or f"{name} at {sample_rate}"
        self.samples = np.random.default_rng(len(name)).normal(size=(2, sample_rate // 2, 2)).astype(np.float32)

    def fingerprint(self):
        return self.text

    def read(self):
        self.reads += 1
        return TrackAudio(self.sample_rate, self.samples[0], {"vocals": self.samples[1]})


def test_features_are_the_magnitudes_in_the_order_asked_for(tmp_path):
    tracks, seen = [FakeTrack("b"), FakeTrack("another")], []
    found = load_features(tracks, SIGNAL, tmp_path, seen.append)
    assert seen == tracks
    assert [song.name for song in found] == ["b", "another"]
    for song, track in zip(found, tracks, strict=True):
        np.testing.assert_array_equal(song.mix_MF, mono_magnitudes(track.samples[0], SIGNAL))
        np.testing.assert_array_equal(song.voice_MF, mono_magnitudes(track.samples[1], SIGNAL))
        assert song.frames == 4000 // SIGNAL.hop_length + 6


def test_a_second_load_reads_nothing(tmp_path):
    first, again = FakeTrack(), FakeTrack()
    (computed,) = load_features([first], SIGNAL, tmp_path)
    (cached,) = load_features([again], SIGNAL, tmp_path)
    assert (first.reads, again.reads) == (1, 0)
    np.testing.assert_array_equal(cached.mix_MF, computed.mix_MF)


@pytest.mark.parametrize(
    ("track", "signal"),
    [
        (FakeTrack(fingerprint="changed"), SIGNAL),
        (FakeTrack(), dataclasses.replace(SIGNAL, hop_length=13)),
        (FakeTrack(), dataclasses.replace(SIGNAL, window_length=66)),
        (FakeTrack(), dataclasses.replace(SIGNAL, fft_length=162)),
    ],
    ids=["other audio", "other hop", "other window", "other FFT"],
)
def test_the_cache_tells_apart(tmp_path, track, signal):
    load_features([FakeTrack()], SIGNAL, tmp_path)
    track.reads = 0
    (found,) = load_features([track], signal, tmp_path)
    assert track.reads == 1
    np.testing.assert_array_equal(found.mix_MF, mono_magnitudes(track.samples[0], signal))


def test_no_half_written_file_stays(tmp_path):
    load_features([FakeTrack()], SIGNAL, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.suffix for path in files] == [".npy"]


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "spectrograms").write_text("in the way")
    with pytest.raises(InputError, match=r"spectrograms: the cache cannot be written: ") as caught:
        load_features([FakeTrack()], SIGNAL, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2]], ids=["empty", "half"])
def test_a_damaged_cache_file_is_made_anew(tmp_path, damage):
    (expected,) = load_features([FakeTrack()], SIGNAL, tmp_path)
    expected_MF = expected.mix_MF.copy()
    (path,) = tmp_path.rglob("*.npy")
    path.write_bytes(damage(path.read_bytes()))
    (found,) = load_features([FakeTrack()], SIGNAL, tmp_path)
    np.testing.assert_array_equal(found.mix_MF, expected_MF)


@pytest.mark.parametrize("rate", [16000, 7350])
def test_other_rates_are_resampled(tmp_path, rate):
    pytest.importorskip("soxr")
    from madsep_jax.audio import resample

    track = FakeTrack(sample_rate=rate)
    (found,) = load_features([track], SIGNAL, tmp_path)
    expected_MF = mono_magnitudes(resample(track.samples[0], rate, SIGNAL.sample_rate), SIGNAL)
    assert found.frames == 4000 // SIGNAL.hop_length + 6
    assert_close(found.mix_MF, expected_MF, 1e-6)


def test_default_cache_follows_the_users_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "madsep_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache() == tmp_path / "home" / ".cache" / "madsep_jax"


def test_batches_train(tmp_path, training_batches):
    """From tracks to what a training step takes."""
    features = load_features([FakeTrack("one"), FakeTrack("other")], GRU.signal, tmp_path)
    order = TrainingOrder.of_songs([song.frames for song in features], GRU.sequences, GRU.training)
    batch = next(training_batches(SongSpectrograms(features, GRU.sequences), order))
    assert batch.mix_BSF.shape == (2, 8, 81)
    assert batch.voice_BTF.shape == (2, 4, 81)
