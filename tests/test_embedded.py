"""The embedded corpus: pinned samples, and what makes it music with a voice in it."""

import dataclasses
import functools
import itertools
import math
from collections import Counter

import numpy as np
import pytest

from data_pipelines.embedded import EmbeddedConfig, embedded_tracks
from data_pipelines.embedded.score import LINEUPS, MAJOR, MINOR, draw_melody, draw_score
from data_pipelines.embedded.singing import VOICES, _harmonics, draw_singer, harmonic_levels, sing
from data_pipelines.embedded.tones import Draws, Point, glide, harmonic_tone, smoothstep, to_samples
from data_pipelines.songs.tracks import STEMS, TrackAudio
from madsep_jax.errors import InputError

RATE = 11025
SHORT = EmbeddedConfig(sample_rate=RATE, train_songs=2, test_songs=1, seconds=4.0)
DEFAULT = EmbeddedConfig(sample_rate=RATE, train_songs=8, test_songs=8)
NAMES = [track.name for track in embedded_tracks(DEFAULT)]


@functools.cache
def read(config: EmbeddedConfig, name: str) -> TrackAudio:
    return next(track for track in embedded_tracks(config) if track.name == name).read()


def frame_rms(signal_NC: np.ndarray, sample_rate: int, frame_s: float) -> np.ndarray:
    """Root mean square of each frame of the mono mix."""
    mono_N = signal_NC.mean(axis=1, dtype=np.float64)
    edges = np.round(np.arange(0, len(mono_N) + 1, frame_s * sample_rate)).astype(int)
    return np.sqrt([(mono_N[start:end] ** 2).mean() for start, end in itertools.pairwise(edges)])


# Written by this implementation (NumPy 2.4.6 and SciPy 1.17.1; NumPy 2.0.0 and SciPy 1.14.0 give the same), as a
# pin across machines and versions: root mean square, then samples SAMPLES of channel (number of sample mod 2).
SAMPLES = (1000, 12345, 20000, 28000, 33333)
ANCHORS = {
    ("train 00", "vocals"): (0.0778048, (0.0136813, -0.0021669, -0.0696951, -0.0003706, -0.0795827)),
    ("train 00", "drums"): (0.0893248, (-0.0560070, -0.0035598, 0.0026423, -0.0002131, -0.0083334)),
    ("train 00", "bass"): (0.0822049, (-0.1828071, -0.0194914, -0.0161899, 0.0691089, -0.0611967)),
    ("train 00", "other"): (0.0772862, (-0.1845175, 0.0248050, 0.1029571, -0.0446727, 0.0483877)),
    ("train 01", "other"): (0.0872126, (-0.0019471, 0.0051026, 0.1074939, 0.0431885, 0.2187470)),
    ("test 00", "vocals"): (0.1018319, (-0.0299539, -0.0808158, -0.0112836, -0.2244060, 0.0936133)),
    ("test 00", "drums"): (0.0811420, (-0.2230618, 0.0018346, 0.0348480, 0.2743382, 0.0082672)),
    ("test 00", "other"): (0.1227431, (0.2591935, 0.1154074, 0.0887299, -0.1489202, 0.1835296)),
}


@pytest.mark.parametrize(("name", "stem"), ANCHORS)
def test_samples_are_pinned(name, stem):
    stem_NC = read(SHORT, name).stems_NC[stem].astype(np.float64)
    rms, values = ANCHORS[name, stem]
    np.testing.assert_allclose([stem_NC[n, n % 2] for n in SAMPLES], values, rtol=0, atol=1e-6)
    assert np.sqrt((stem_NC**2).mean()) == pytest.approx(rms, abs=1e-6)


def test_streams_are_pinned():
    """From this implementation: the first doubles of the stream seeded by SHA-256 of "0/train/0/score"."""
    draws = Draws(0, "train", 0, "score")
    np.testing.assert_allclose(
        draws.uniforms(0, 1, 3), [0.2791699931043, 0.8849660812066, 0.4890272193738], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_mixture_is_the_sum_of_its_stems_below_full_scale(name):
    audio = read(DEFAULT, name)
    assert set(audio.stems_NC) == set(STEMS)
    for signal_NC in (audio.mixture_NC, *audio.stems_NC.values()):
        assert signal_NC.dtype == np.float32
        assert signal_NC.shape == (8 * RATE, 2)
    total_NC = sum(stem_NC.astype(np.float64) for stem_NC in audio.stems_NC.values())
    np.testing.assert_allclose(audio.mixture_NC, total_NC, rtol=0, atol=1e-6)
    assert np.abs(audio.mixture_NC).max() == pytest.approx(0.9, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_mixture_is_a_poor_estimate_of_the_voice(name):
    audio = read(DEFAULT, name)
    voice_NC = audio.voice_NC.astype(np.float64)
    error_NC = audio.mixture_NC - voice_NC
    sdr_db = 10 * math.log10((voice_NC**2).sum() / (error_NC**2).sum())
    assert -8.01 <= sdr_db <= -2.99  # the range that the levels are drawn from; well within -12 to 0 dB


@pytest.mark.parametrize("name", NAMES)
def test_voice_sings_most_of_the_time_and_rests(name):
    level_F = frame_rms(read(DEFAULT, name).voice_NC, RATE, 0.05)
    loud = np.quantile(level_F, 0.9)
    assert (level_F > 0.1 * loud).mean() >= 0.55
    silent_F = level_F < 0.02 * loud
    longest = max(len(run) for run in "".join("-" if silent else " " for silent in silent_F).split())
    assert 0.2 <= longest * 0.05 <= 1.5


def test_voice_is_harmonic_and_drums_are_not():
    """Peak of the normalised autocorrelation between 80 and 800 Hz: 1 for a steady tone."""

    def periodicity(signal_NC: np.ndarray) -> float:
        mono_N = signal_NC.mean(axis=1, dtype=np.float64)
        lags = range(RATE // 800, RATE // 80)
        length, peaks = 512, []
        for start in range(0, len(mono_N) - 1024, 1024):
            now_n = mono_N[start : start + length]
            if np.sqrt((now_n**2).mean()) > 0.5 * mono_N.std():
                later = [mono_N[start + lag : start + lag + length] for lag in lags]
                peaks.append(max(now_n @ n / math.sqrt((now_n @ now_n) * (n @ n) + 1e-9) for n in later))
        return float(np.median(peaks))

    for name in ("train 00", "train 03", "test 01"):
        audio = read(DEFAULT, name)
        assert audio.stems_NC["drums"].any()
        assert periodicity(audio.voice_NC) > 0.9
        assert periodicity(audio.stems_NC["drums"]) < 0.9


def test_vibrato_and_jitter_stay_near_the_notes():
    seconds = 12.0
    draws = Draws(0, "train", 0, "vocals")
    singer = draw_singer(draws)
    phrases = draw_melody(draws, draw_score(Draws(0, "train", 0, "score"), seconds), singer.centre_midi)
    singing = sing(draws, singer, phrases, seconds)
    semitones_J = 69 + 12 * np.log2(singing.pitch_J / 440)
    for syllable in (syllable for phrase in phrases for syllable in phrase if syllable.end_s < seconds):
        vowel_J = semitones_J[int(250 * (syllable.start_s + 0.1)) : int(250 * (syllable.end_s - 0.1))]
        if len(vowel_J) > 25:
            assert abs(vowel_J.mean() - syllable.midi) < 0.35
            assert np.abs(vowel_J - syllable.midi).max() < 1.25
    assert 80 < singing.pitch_J.min() < singing.pitch_J.max() < 800


def test_voice_is_the_sum_of_its_harmonics():
    """Oracle: every harmonic's sine by itself."""
    draws = Draws(3, "test", 1, "vocals")
    singer = draw_singer(draws)
    phrases = draw_melody(draws, draw_score(Draws(3, "test", 1, "score"), 1.0), singer.centre_midi)
    singing = sing(draws, singer, phrases, 1.0)
    level_JK = harmonic_levels(singer, singing, 0.49 * RATE)
    pitch_N = to_samples(singing.pitch_J, RATE, RATE)
    phase_N = 2 * np.pi * np.cumsum(pitch_N) / RATE
    expected_N = sum(
        to_samples(level_J, RATE, RATE) * np.sin((k + 1) * phase_N) for k, level_J in enumerate(level_JK.T)
    )
    np.testing.assert_allclose(_harmonics(singer, singing, RATE, RATE), expected_N, rtol=0, atol=1e-9)
    highest_N = to_samples((level_JK > 0).sum(axis=1), RATE, RATE) * pitch_N
    assert highest_N.max() < RATE / 2


def test_harmonic_tone_is_the_sum_of_its_harmonics():
    """Oracle: every harmonic's sine by itself, those below 0.45 of the sample rate."""
    times_N = np.arange(2000) / RATE
    bright_N = 0.8 - times_N
    harmonics = range(1, int(0.45 * RATE / 220) + 1)
    sines_N = sum(bright_N ** (k - 1) * np.sin(2 * np.pi * k * (220 * times_N + 0.3)) for k in harmonics)
    tone_N = harmonic_tone(times_N, 220, bright_N, RATE, 0.3)
    np.testing.assert_allclose(tone_N, sines_N * np.sqrt(1 - bright_N**2), rtol=0, atol=1e-10)


def test_glide_passes_through_its_points():
    times_J = np.array([0.0, 0.9, 1.0, 1.1, 2.0, 3.0])
    curve_J = glide(times_J, 5, [Point(1, 7, 0.2), Point(2, -1, 0.5)])
    np.testing.assert_allclose(curve_J, [5, 5, 6, 7, 3, -1], atol=1e-12)
    np.testing.assert_allclose(smoothstep(np.array([-1, 0, 0.25, 1, 2])), [0, 0, 0.15625, 1, 1])


@pytest.mark.parametrize("stem", STEMS)
def test_music_is_the_same_at_every_sample_rate(stem):
    """Fine enough in time (50 ms) that a note or stroke out of place would show."""
    high = dataclasses.replace(SHORT, sample_rate=22050)
    level_F = frame_rms(read(SHORT, "train 00").stems_NC[stem], RATE, 0.05)
    level_high_F = frame_rms(read(high, "train 00").stems_NC[stem], 22050, 0.05)
    assert np.corrcoef(level_F, level_high_F)[0, 1] > 0.95


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_other_sample_rates(sample_rate):
    track = embedded_tracks(dataclasses.replace(SHORT, sample_rate=sample_rate, seconds=1))[0]
    audio = track.read()
    assert audio.sample_rate == sample_rate
    assert audio.mixture_NC.shape == (sample_rate, 2)
    assert all(np.abs(stem_NC).max() > 0.01 for stem_NC in audio.stems_NC.values())


def test_a_song_can_be_made_again():
    first, again = embedded_tracks(SHORT)[0], embedded_tracks(dataclasses.replace(SHORT))[0]
    assert first.fingerprint() == again.fingerprint()
    for stem in STEMS:
        np.testing.assert_array_equal(first.make().stems_NC[stem], again.make().stems_NC[stem])


def test_a_song_that_is_kept_cannot_be_changed():
    track = embedded_tracks(SHORT)[0]
    assert track.read() is track.read()
    with pytest.raises(ValueError, match="read-only"):
        track.read().stems_NC["drums"][0] = 1
    np.testing.assert_array_equal(track.read().mixture_NC, track.make().mixture_NC)


def test_number_of_songs_does_not_change_a_song():
    more = dataclasses.replace(SHORT, train_songs=30, test_songs=2)
    by_name = {track.name: track for track in embedded_tracks(more)}
    for track in embedded_tracks(SHORT):
        assert by_name[track.name].fingerprint() == track.fingerprint()
        np.testing.assert_array_equal(by_name[track.name].read().mixture_NC, read(SHORT, track.name).mixture_NC)


def test_songs_and_seeds_differ():
    def scores(config):
        return [draw_score(track._draws("score"), 12.0) for track in embedded_tracks(config)]

    both = scores(DEFAULT) + scores(dataclasses.replace(DEFAULT, seed=1))
    assert len({score.beat_s for score in both}) == 32
    train, test = read(SHORT, "train 00"), read(SHORT, "test 00")
    other_seed = read(dataclasses.replace(SHORT, seed=1), "train 00")
    for stem in STEMS:
        for other in (test, other_seed):
            here_NC, there_NC = train.stems_NC[stem], other.stems_NC[stem]
            assert np.sqrt(((here_NC - there_NC) ** 2).mean()) > 0.5 * here_NC.std()


@pytest.mark.parametrize("split", ["train", "test"])
def test_sixteen_songs_in_a_row_differ(split):
    """Oracle: counting. Each voice sings four, each lineup plays two, half are major; all keys, and tempi far apart."""
    draws = [Draws(0, split, index, "vocals") for index in range(16, 32)]
    scores = [draw_score(Draws(0, split, index, "score"), 8.0) for index in range(16, 32)]
    voices = Counter(min(VOICES, key=lambda voice: abs(voice[0] - draw_singer(one).centre_midi)) for one in draws)
    assert voices == dict.fromkeys(VOICES, 4)
    assert Counter(score.lineup for score in scores) == dict.fromkeys(LINEUPS, 2)
    assert Counter(score.scale for score in scores) == {MAJOR: 8, MINOR: 8}
    assert len({score.key_midi for score in scores}) >= 10
    assert max(score.beat_s for score in scores) > 1.3 * min(score.beat_s for score in scores)
    assert len({(score.key_midi, score.lineup, score.chords) for score in scores}) == 16


def test_songs_have_their_options_in_turn():
    """Oracle: counting, from song 0 on; and the order is not always the same."""
    turns = [Draws(0, "test", index, "part").in_turn("abcde") for index in range(50)]
    blocks = ["".join(turns[first : first + 5]) for first in range(0, 50, 5)]
    assert {"".join(sorted(block)) for block in blocks} == {"abcde"}
    assert len(set(blocks)) > 5


def test_who_does_not_play_is_silent():
    for track in embedded_tracks(DEFAULT)[:8]:
        lineup = draw_score(track._draws("score"), 8.0).lineup
        stems_NC = read(DEFAULT, track.name).stems_NC
        for stem in ("drums", "bass"):
            assert stems_NC[stem].any() == (stem in lineup)
        assert stems_NC["other"].any()


def test_tracks_are_named_and_fingerprinted():
    config = EmbeddedConfig(train_songs=2, test_songs=1, seconds=2.5, sample_rate=11025)
    tracks = embedded_tracks(config)
    assert [(track.name, track.split) for track in tracks] == [
        ("train 00", "train"),
        ("train 01", "train"),
        ("test 00", "test"),
    ]
    assert [track.sample_rate for track in tracks] == [11025] * 3
    assert tracks[0].duration_s == 27562 / 11025
    assert len(tracks[0].read().mixture_NC) == 27562
    changes = [{}, {"seed": 1}, {"seconds": 3.0}, {"sample_rate": 16000}]
    prints = {
        track.fingerprint() for change in changes for track in embedded_tracks(dataclasses.replace(config, **change))
    }
    assert len(prints) == 12


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"seed": -1}, "embedded corpus: seed is -1, expected an integer from 0 to 9223372036854775807"),
        ({"seed": True}, "embedded corpus: seed is True, expected an integer from 0 to 9223372036854775807"),
        ({"train_songs": -3}, "embedded corpus: train_songs is -3, expected an integer from 0 to 10000"),
        ({"test_songs": 1.5}, "embedded corpus: test_songs is 1.5, expected an integer from 0 to 10000"),
        (
            {"sample_rate": 7999},
            "embedded corpus: sample_rate is 7999, expected an integer from 8000 to 192000",
        ),
        ({"seconds": 0.5}, "embedded corpus: seconds is 0.5, expected a number from 1 to 600"),
        ({"seconds": math.nan}, "embedded corpus: seconds is nan, expected a number from 1 to 600"),
        ({"seconds": "12"}, "embedded corpus: seconds is '12', expected a number from 1 to 600"),
        (
            {"train_songs": 0, "test_songs": 0},
            "embedded corpus: train_songs and test_songs are both 0, expected at least one song",
        ),
    ],
)
def test_bad_settings_are_named(fields, line):
    with pytest.raises(InputError) as caught:
        EmbeddedConfig(**fields)
    assert str(caught.value) == line
