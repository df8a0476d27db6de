"""Mixtures made anew. Oracle: a plain sum of the same stems, and what the settings allow."""

import dataclasses
import itertools

import numpy as np
import pytest
from tiny import SEQUENCES
from tiny_sets import SPECTROGRAM, WAVEFORM, prepare_songs, write_songs

from data_pipelines.batches.order import TrainingOrder
from madsep_jax import DataConfig, InputError, TrainingConfig

pytest.importorskip("tensorflow_datasets")

from data_pipelines.batches.pipeline import training_batches
from data_pipelines.prepared.reader import PreparedSongs

TRAINING = TrainingConfig(batch_size=4, epochs=2, seed=3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    songs = write_songs(tmp_path_factory.mktemp("songs"))
    return {s.features: prepare_songs(songs, tmp_path_factory.mktemp("set"), s) for s in (SPECTROGRAM, WAVEFORM)}


@pytest.fixture(scope="module")
def songs(folders):
    return PreparedSongs(folders["waveform"])


def order_of(songs, training=TRAINING, **data):
    data = DataConfig(features="waveform", **data)
    return TrainingOrder.of_songs(songs.song_frames, SEQUENCES, training, data, songs.silent)


def rows(songs, steps=30, first_step=0, **data):
    """Each row of the first batches with the place of its sequence: (song, number), mixture, voice, frames."""
    order = order_of(songs, **data)
    for step, batch in zip(range(first_step, steps), training_batches(songs, order, first_step), strict=False):
        epoch, batch_number = divmod(step, order.steps_per_epoch)
        chosen = order.epoch(epoch)[4 * batch_number : 4 * batch_number + 4]
        for row, sequence in enumerate(chosen):
            place = int(order.song_of[sequence]), int(order.index_in_song[sequence])
            yield place, batch.mix_BNC[row], batch.voice_BNC[row], batch.frames_B2[row]


def sources(songs, place):
    """Voice and accompaniment of a record, ±1."""
    example = songs.example(*place)
    voice_NC = example["voice"] / np.float32(2**15)
    return voice_NC, example["mixture"] / np.float32(2**15) - voice_NC


def test_as_they_are_by_default(songs):
    for place, mix_NC, voice_NC, frames in rows(songs):
        example = songs.example(*place)
        assert mix_NC.dtype == np.int16
        np.testing.assert_array_equal(mix_NC, example["mixture"])
        np.testing.assert_array_equal(voice_NC, example["voice"])
        assert tuple(frames) == example["frames"]


def test_gains_are_of_each_source_and_within_bounds(songs):
    gains_db = []
    for place, mix_NC, voice_NC, _ in rows(songs, gain_db=6.0):
        voice, other = sources(songs, place)
        gains_db.append([])
        if not other.any():  # a song's end, of which the record only has silence
            assert not mix_NC.any()
            continue
        other_gain = np.vdot(mix_NC - voice_NC, other) / np.vdot(other, other)
        np.testing.assert_allclose(mix_NC - voice_NC, other_gain * other, atol=1e-5)
        gains_db[-1].append(20 * np.log10(other_gain))
        if voice.any():
            voice_gain = np.vdot(voice_NC, voice) / np.vdot(voice, voice)
            np.testing.assert_allclose(voice_NC, voice_gain * voice, atol=1e-5)
            gains_db[-1].append(20 * np.log10(voice_gain))
            assert abs(gains_db[-1][0] - gains_db[-1][1]) > 1e-3
    all_db = np.array(list(itertools.chain.from_iterable(gains_db)))
    assert np.abs(all_db).max() <= 6.001
    assert all_db.min() < -4  # of about 150 uniform draws
    assert all_db.max() > 4


def test_channels_are_swapped_by_source(songs):
    swapped = []
    for place, mix_NC, voice_NC, _ in rows(songs, channel_swap=0.5):
        voice, other = sources(songs, place)
        is_swapped = [
            np.allclose(found, wanted[:, ::-1], atol=1e-6) and not np.allclose(found, wanted, atol=1e-6)
            for found, wanted in ((voice_NC, voice), (mix_NC - voice_NC, other))
        ]
        for found, wanted, flag in zip((voice_NC, mix_NC - voice_NC), (voice, other), is_swapped, strict=True):
            np.testing.assert_allclose(found, wanted[:, ::-1] if flag else wanted, atol=1e-6)
        swapped.append(is_swapped)
        np.testing.assert_allclose(mix_NC.mean(axis=1), (voice + other).mean(axis=1), atol=1e-6)
    assert 0.35 < np.mean([other for _, other in swapped]) < 0.65  # 120 rows


def test_accompaniments_come_from_other_songs(songs):
    records = {
        (song, number): sources(songs, (song, number))[1]
        for song, track in enumerate(songs.tracks)
        for number in range(track.records)
    }
    partners = []
    for place, mix_NC, voice_NC, frames in rows(songs, remix=1.0):
        np.testing.assert_array_equal(voice_NC, sources(songs, place)[0])
        if not np.any(mix_NC - voice_NC):  # a song's end, which many songs have
            continue
        (partner,) = [at for at, other in records.items() if np.allclose(mix_NC - voice_NC, other, atol=1e-5)]
        assert partner[0] != place[0]
        mine, others = songs.example(*place)["frames"], songs.example(*partner)["frames"]
        assert tuple(frames) == (min(mine[0], others[0]), max(mine[1], others[1]))
        partners.append(partner)
    assert len(set(partners)) > 40  # of 100 sequences, 120 draws


def test_a_row_is_a_function_of_its_place(songs):
    """Whatever step it is resumed at, and however many processes there are."""
    settings = {"gain_db": 6.0, "channel_swap": 0.5, "remix": 0.5, "silent_share": 0.5}
    whole, late = list(rows(songs, **settings)), list(rows(songs, first_step=7, **settings))
    for (_, *found), (_, *expected) in zip(late, whole[28:], strict=True):
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    order = order_of(songs, **settings)
    shares = [training_batches(songs, order, 0, (number, 2)) for number in range(2)]
    for step in range(7):
        mixtures = np.concatenate([next(share).mix_BNC for share in shares])
        np.testing.assert_array_equal(mixtures, [mix_NC for _, mix_NC, *_ in whole[4 * step : 4 * step + 4]])


def test_another_seed_draws_others(songs):
    one, other = (order_of(songs, dataclasses.replace(TRAINING, seed=seed), gain_db=6.0) for seed in (3, 4))
    batches = [next(training_batches(songs, order)) for order in (one, other)]
    assert not np.array_equal(batches[0].mix_BNC, batches[1].mix_BNC)


def test_gains_of_magnitudes_are_of_mixture_and_voice_together(folders):
    """Within bounds, drawn anew for each place, by the seed, and the same wherever it is resumed."""
    songs = PreparedSongs(folders["spectrogram"])

    def batches(first_step=0, seed=3, **data):
        training = dataclasses.replace(TRAINING, seed=seed)
        order = TrainingOrder.of_songs(songs.song_frames, SEQUENCES, training, DataConfig(**data), songs.silent)
        return list(training_batches(songs, order, first_step))

    plain, gained = batches(), batches(gain_db=6.0)
    gains_db = []
    for before, after in zip(plain, gained, strict=True):
        for row in range(4):
            mix_SF, voice_TF = before.mix_BSF[row], before.voice_BTF[row]
            if not mix_SF.any():
                continue
            gain = np.vdot(after.mix_BSF[row], mix_SF) / np.vdot(mix_SF, mix_SF)
            np.testing.assert_allclose(after.mix_BSF[row], gain * mix_SF, rtol=1e-5)
            np.testing.assert_allclose(after.voice_BTF[row], gain * voice_TF, rtol=1e-5)
            gains_db.append(20 * np.log10(gain))
    assert len(gains_db) > 100
    assert -6.001 < min(gains_db) < -5 < 5 < max(gains_db) < 6.001
    for found, expected in zip(batches(7, gain_db=6.0), gained[7:], strict=True):
        np.testing.assert_array_equal(found.mix_BSF, expected.mix_BSF)
        np.testing.assert_array_equal(found.voice_BTF, expected.voice_BTF)
    same_songs = [batch.mix_BSF[0] for batch in (batches(gain_db=6.0)[0], batches(gain_db=6.0, seed=4)[0])]
    assert not np.array_equal(*same_songs)


def test_gains_of_magnitudes_need_magnitudes(songs):
    order = TrainingOrder.of_songs(songs.song_frames, SEQUENCES, TRAINING, DataConfig(gain_db=6.0))
    with pytest.raises(InputError, match=r"^DataConfig.features: found 'spectrogram', expected 'waveform'"):
        next(training_batches(songs, order))


def test_spectrograms_cannot_be_mixed_anew(folders):
    with pytest.raises(
        InputError, match=r"^DataConfig.features: found 'spectrogram', expected 'waveform', which remix"
    ):
        DataConfig(remix=0.5)
    spectrograms = PreparedSongs(folders["spectrogram"])
    with pytest.raises(InputError, match="need a prepared set of waveforms"):
        next(training_batches(spectrograms, order_of(spectrograms, remix=0.5)))


@pytest.mark.parametrize(
    ("field", "value"), [("gain_db", -1.0), ("channel_swap", 1.5), ("remix", -0.1), ("silent_share", 2.0)]
)
def test_settings_that_cannot_be(field, value):
    with pytest.raises(InputError, match=rf"^DataConfig.{field}: found "):
        DataConfig(features="waveform", **{field: value})
