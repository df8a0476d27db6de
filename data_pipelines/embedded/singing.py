"""The singer: curves of pitch, level, formants and noise from a melody, and the voice that follows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import sosfilt

from data_pipelines.embedded.score import CONSONANTS, VOWELS, Phrase, Syllable
from data_pipelines.embedded.tones import CONTROL_HZ, Draws, Point, band_pass, glide, hertz, taper, to_samples

#: Fourth and fifth formants and all five bandwidths, Hz.
UPPER_FORMANTS = (3300, 3900)
BANDWIDTHS = (75, 95, 130, 190, 270)

#: Edges in Hz of the noise bands that consonants are made of: h and k, sh and k, s and t.
NOISE_BANDS = ((900, 2000), (2000, 4000), (4200, 8500))

#: Middle of the singer's range (MIDI note) and vocal tract scale of the formants, for four kinds of voice.
VOICES = ((52, 0.97), (57, 1.03), (61, 1.13), (65, 1.18))


@dataclass(frozen=True)
class Singer:
    """What stays the same through a song. Times in s, rates in Hz, depth and scoop in semitones."""

    centre_midi: float
    tract_scale: float
    source_slope: float
    breathiness: float
    portamento_s: float
    scoop: float
    vibrato_hz: float
    vibrato_depth: float
    vibrato_delay_s: float


@dataclass(frozen=True)
class Singing:
    """Control curves: pitch in Hz, level of the voice, formants in Hz, level of the noise in each band."""

    pitch_J: np.ndarray
    voicing_J: np.ndarray
    formants_JR: np.ndarray
    noise_JQ: np.ndarray


def draw_singer(draws: Draws) -> Singer:
    """A singer of one of the four kinds of voice, which songs have in turn."""
    centre_midi, tract_scale = draws.in_turn(VOICES)
    return Singer(
        centre_midi=centre_midi + draws.uniform(-1.5, 1.5),
        tract_scale=tract_scale * draws.uniform(0.96, 1.04),
        source_slope=draws.uniform(0.6, 1.0),
        breathiness=draws.uniform(0.01, 0.04),
        portamento_s=draws.uniform(0.06, 0.13),
        scoop=draws.uniform(0.5, 2.0),
        vibrato_hz=draws.uniform(5.0, 6.5),
        vibrato_depth=draws.uniform(0.25, 0.7),
        vibrato_delay_s=draws.uniform(0.2, 0.4),
    )


def sing(draws: Draws, singer: Singer, phrases: list[Phrase], seconds: float) -> Singing:
    """The control curves of a melody."""
    times_J = np.arange(int(np.ceil(seconds * CONTROL_HZ)) + 2) / CONTROL_HZ  # to just past the end
    syllables = [syllable for phrase in phrases for syllable in phrase]
    pitch_J = _pitch(draws, singer, phrases, times_J)
    voicing_J = glide(times_J, 0, [point for phrase in phrases for point in _voicing(phrase)])
    shimmer_J = 1 + 0.06 * _wander(draws, times_J, 0.02)
    formants_JR = np.stack(_formants(singer, syllables, times_J), axis=1)
    # A singer raises the first formant to the pitch where the pitch would pass it.
    formants_JR[:, 0] = (formants_JR[:, 0] ** 8 + pitch_J**8) ** (1 / 8)
    noise_JQ = np.stack([glide(times_J, 0, _noise(phrases, band)) for band in range(len(NOISE_BANDS))], axis=1)
    noise_JQ += singer.breathiness * voicing_J[:, None]
    return Singing(pitch_J, voicing_J * shimmer_J, formants_JR, noise_JQ)


def _pitch(draws: Draws, singer: Singer, phrases: list[Phrase], times_J: np.ndarray) -> np.ndarray:
    """Notes joined by portamento, a scoop into each phrase, delayed vibrato, slow drift and jitter; in Hz."""
    notes, depths = [], []
    for phrase in phrases:
        first = phrase[0]
        notes.append(Point(first.start_s - 0.2, first.midi - singer.scoop, 0.1))
        for syllable in phrase:
            notes.append(Point(syllable.start_s, syllable.midi, singer.portamento_s))
            wide = singer.vibrato_depth * draws.uniform(0.6, 1.2)
            if syllable.end_s - syllable.start_s > singer.vibrato_delay_s:
                depths.append(Point(syllable.start_s + singer.vibrato_delay_s, wide, 0.25))
                depths.append(Point(syllable.end_s, 0, 0.1))
    rate_J = singer.vibrato_hz * (1 + 0.06 * _wander(draws, times_J, 0.3))
    vibrato_J = np.sin(2 * np.pi * np.cumsum(rate_J) / CONTROL_HZ)
    semitones_J = glide(times_J, singer.centre_midi, notes) + glide(times_J, 0, depths) * vibrato_J
    return hertz(semitones_J + 0.12 * _wander(draws, times_J, 0.4) + 0.06 * _wander(draws, times_J, 0.012))


def _voicing(phrase: Phrase) -> list[Point]:
    """Level of the voice: down for the consonant, up for the vowel, a slow fall, off after the phrase."""
    points = []
    for place, syllable in enumerate(phrase):
        consonant = CONSONANTS[syllable.consonant]
        before = consonant.voicing if place else min(consonant.voicing, 0.3)
        points.append(Point(syllable.start_s - consonant.length_s, before * syllable.level, 0.025))
        points.append(Point(syllable.start_s + 0.015, syllable.level, 0.03))
        length_s = syllable.end_s - syllable.start_s
        points.append(Point(syllable.start_s + 0.3 * length_s, 0.85 * syllable.level, 0.5 * length_s))
    points.append(Point(phrase[-1].end_s - 0.06, 0, 0.12))
    return points


def _formants(singer: Singer, syllables: Sequence[Syllable], times_J: np.ndarray) -> list[np.ndarray]:
    """One curve a formant, moving from each consonant's place to its vowel's; the upper ones stay."""
    curves = []
    for number, middle_hz in enumerate((500, 1500, 2500)):
        points = []
        for syllable in syllables:
            consonant, vowel = CONSONANTS[syllable.consonant], VOWELS[syllable.vowel]
            through = (consonant.formants or vowel)[number]
            points.append(Point(syllable.start_s - consonant.length_s, singer.tract_scale * through, 0.05))
            points.append(Point(syllable.start_s + 0.02, singer.tract_scale * vowel[number], 0.06))
        curves.append(glide(times_J, singer.tract_scale * middle_hz, points))
    return curves + [np.full(times_J.shape, singer.tract_scale * formant_hz) for formant_hz in UPPER_FORMANTS]


def _noise(phrases: list[Phrase], band: int) -> list[Point]:
    """Level of the noise in one band: a breath before each phrase, then the consonants' noise."""
    points = []
    for phrase in phrases:
        points.append(Point(phrase[0].start_s - 0.36, 0.03, 0.1))
        points.append(Point(phrase[0].start_s - 0.19, 0, 0.08))
        for syllable in phrase:
            consonant = CONSONANTS[syllable.consonant]
            loud = 0.5 * consonant.noise[band] * syllable.level
            from_s = syllable.start_s - consonant.length_s + consonant.closure_s
            points.append(Point(from_s, loud, 0.006 if consonant.closure_s else 0.04))
            points.append(Point(syllable.start_s + 0.01, 0, 0.025))
    return points


def _wander(draws: Draws, times_J: np.ndarray, every_s: float) -> np.ndarray:
    """A random curve in ±1 that turns every so many seconds."""
    knots = draws.uniforms(-1, 1, int(times_J[-1] / every_s) + 2)
    return np.interp(times_J / every_s, np.arange(len(knots)), knots)


#: No harmonic lies above this frequency, whatever the sample rate.
CEILING_HZ = 9000.0


def render_voice(noise_draws: Draws, singer: Singer, singing: Singing, samples: int, sample_rate: int) -> np.ndarray:
    """The voice (N,) at a sample rate in Hz."""
    voice_N = _harmonics(singer, singing, samples, sample_rate)
    for band, edges_hz in enumerate(NOISE_BANDS):
        level_N = to_samples(singing.noise_JQ[:, band], samples, sample_rate)
        voice_N += level_N * sosfilt(band_pass(*edges_hz, sample_rate), noise_draws.noise(samples, sample_rate))
    return voice_N


def harmonic_levels(singer: Singer, singing: Singing, ceiling_hz: float) -> np.ndarray:
    """Amplitude (J, K) of each harmonic: glottal slope times the formant resonances at its own frequency.

    Glottal flow falls by about 12 dB an octave and radiation at the lips raises it by 6; `source_slope` is
    the exponent of what is left. Half of the difference in level (dB) between vowels is evened out.
    """
    harmonics_K = np.arange(1, int(ceiling_hz / singing.pitch_J.min()) + 1)
    frequency_JK = singing.pitch_J[:, None] * harmonics_K
    level_JK = harmonics_K**-singer.source_slope * taper(frequency_JK, ceiling_hz)
    squared_JK = frequency_JK**2
    for number, bandwidth in enumerate(BANDWIDTHS):
        centre_J1 = singing.formants_JR[:, number, None] ** 2
        level_JK *= centre_J1 / np.sqrt((centre_J1 - squared_JK) ** 2 + bandwidth**2 * squared_JK)
    level_JK *= (level_JK**2).sum(axis=1, keepdims=True) ** -0.25
    return level_JK * singing.voicing_J[:, None]


def _harmonics(singer: Singer, singing: Singing, samples: int, sample_rate: int) -> np.ndarray:
    """The sum of the harmonics (N,), by sin(kx) = 2 cos(x) sin((k-1)x) - sin((k-2)x)."""
    level_JK = harmonic_levels(singer, singing, min(CEILING_HZ, 0.49 * sample_rate))
    phase_N = 2 * np.pi / sample_rate * np.cumsum(to_samples(singing.pitch_J, samples, sample_rate))
    twice_cosine_N = 2 * np.cos(phase_N)
    before_N, sine_N = np.zeros(samples), np.sin(phase_N)
    voice_N = np.zeros(samples)
    for level_J in level_JK.T:
        voice_N += to_samples(level_J, samples, sample_rate) * sine_N
        before_N, sine_N = sine_N, twice_cosine_N * sine_N - before_N
    return voice_N
