"""Who plays the chords of the song: a bass, a pad, a guitar, an electric piano and an organ."""

import numpy as np

from data_pipelines.embedded.score import Score
from data_pipelines.embedded.tones import Draws, Tone, harmonic_tone, held, hertz, place, taper

#: A bar of bass: (first eighth, length in eighths, semitones above the root).
BASS_PATTERNS = (
    tuple((step, 1, 0) for step in range(8)),
    ((0, 3, 0), (3, 1, 0), (4, 2, 7), (6, 2, 12)),
    ((0, 3, 0), (3, 3, 0), (6, 2, 7)),
    ((0, 2, 0), (2, 2, 12), (4, 2, 0), (6, 1, 7), (7, 1, 12)),
    ((0, 4, 0), (4, 3, 0), (7, 1, 7)),
)


def render_bass(draws: Draws, score: Score, samples: int, sample_rate: int) -> np.ndarray:
    """The bass stem (N, 2), in the middle, its fundamentals from 41 to 156 Hz."""
    bass_NC = np.zeros((samples, 2))
    patterns = draws.pick(BASS_PATTERNS), draws.pick(BASS_PATTERNS)
    bright, fall_s, decay_s = draws.uniform(0.78, 0.88), draws.uniform(0.15, 0.4), draws.uniform(0.6, 1.5)
    for bar, chord in enumerate(score.chords):
        root = 28 + (score.midi(chord) - 28) % 12
        for step, length, above in patterns[bar // 4 % 2]:
            velocity = draws.uniform(0.8, 1.0)
            length_s = length * score.eighth_s * draws.uniform(0.85, 0.98)
            hz = hertz(float(root + above))
            pluck = _pluck(hz, length_s, velocity, bright, fall_s, decay_s, sample_rate)
            place(bass_NC, sample_rate, bar * score.bar_s + step * score.eighth_s, length_s, 0.0, pluck)
    return bass_NC


def _pluck(
    hz: float, length_s: float, velocity: float, bright: float, fall_s: float, decay_s: float, sample_rate: int
) -> Tone:
    """A note that dies away in `decay_s` and loses its upper harmonics in `fall_s`."""

    def tone(times_N: np.ndarray) -> np.ndarray:
        bright_N = bright * (0.65 + 0.35 * np.exp(-times_N / fall_s))
        level_N = velocity * held(times_N, length_s, 0.006, 0.03) * np.exp(-times_N / decay_s)
        return level_N * harmonic_tone(times_N, hz, bright_N, sample_rate)

    return tone


#: Eighths of a bar on which the electric piano plays, and the order of the guitar's strings.
PIANO_RHYTHMS = ((0, 4), (0, 3, 6), (0, 3, 4, 7), (0, 2, 4, 6), (2, 6))
GUITAR_ORDERS = ((0, 1, 2, 3, 4, 3, 2, 1), (0, 2, 1, 3, 2, 4, 3, 2), (0, 3, 2, 4, 1, 3, 2, 4))

#: Frequencies of an organ's pipes over that of their key.
PIPES = (0.5, 1, 1.5, 2, 3, 4, 6, 8)


def render_other(draws: Draws, score: Score, samples: int, sample_rate: int) -> np.ndarray:
    """The stem of the other instruments (N, 2): those of the lineup at equal power, give or take 3 dB."""
    players = {"pad": _pad, "guitar": _guitar, "piano": _piano, "organ": _organ}
    other_NC = np.zeros((samples, 2))
    for name in (name for name in score.lineup if name in players):
        level_db = draws.uniform(-3, 0)
        layer_NC = np.zeros((samples, 2))
        players[name](draws, score, layer_NC, sample_rate)
        other_NC += layer_NC * 10 ** (level_db / 20) / np.sqrt((layer_NC**2).mean())
    return other_NC


def _pad(draws: Draws, score: Score, out_NC: np.ndarray, sample_rate: int) -> None:
    """Held chords of bright tones, each note twice: a little flat on one side and sharp on the other."""
    lowest = 50 + int(draws.uniform(0, 10))
    bright, cents = draws.uniform(0.6, 0.78), draws.uniform(4, 9)
    attack_s, sweep_hz = draws.uniform(0.05, 0.25), draws.uniform(0.1, 0.4)

    def voice(hz: float, length_s: float, turn: float) -> Tone:
        def tone(times_N: np.ndarray) -> np.ndarray:
            bright_N = bright + 0.08 * np.sin(2 * np.pi * (sweep_hz * times_N + turn))
            level_N = held(times_N, length_s, attack_s, 0.15)
            return level_N * harmonic_tone(times_N, hz, bright_N, sample_rate, turn)

        return tone

    for bar, chord in enumerate(score.chords):
        for midi in score.chord_notes(chord, lowest):
            for side in (-1, 1):
                note = voice(hertz(midi + side * cents / 100), score.bar_s + 0.1, draws.uniform(0, 1))
                place(out_NC, sample_rate, bar * score.bar_s, score.bar_s + 0.1, 0.7 * side, note)


def _organ(draws: Draws, score: Score, out_NC: np.ndarray, sample_rate: int) -> None:
    """Two held chords a bar on an organ: a sine a pipe, their level swaying as that of a speaker that turns."""
    lowest = 50 + int(draws.uniform(0, 10))
    pan, sway_hz, level_K = draws.uniform(-0.5, 0.5), draws.uniform(5.5, 7), draws.uniforms(0.1, 1, len(PIPES))

    def key(hz: float, length_s: float) -> Tone:
        pipe_hz_K = hz * np.array(PIPES)
        audible_K = level_K * taper(pipe_hz_K, 0.49 * sample_rate)

        def tone(times_N: np.ndarray) -> np.ndarray:
            level_N = held(times_N, length_s, 0.01, 0.04) * (1 + 0.2 * np.sin(2 * np.pi * sway_hz * times_N))
            return level_N * (np.sin(2 * np.pi * times_N[:, None] * pipe_hz_K) @ audible_K)

        return tone

    for bar, chord in enumerate(score.chords):
        for step in (0, 4):
            for midi in score.chord_notes(chord, lowest):
                start_s, length_s = bar * score.bar_s + step * score.eighth_s, 3.8 * score.eighth_s
                place(out_NC, sample_rate, start_s, length_s, pan, key(hertz(float(midi)), length_s))


def _guitar(draws: Draws, score: Score, out_NC: np.ndarray, sample_rate: int) -> None:
    """Broken chords in eighth notes: strings whose upper partials die first, plucked near one end."""
    lowest = 45 + int(draws.uniform(0, 6))
    pan, order = draws.uniform(-0.6, 0.6), draws.pick(GUITAR_ORDERS)
    bright, ring_s, plucked_at = draws.uniform(0.75, 0.86), draws.uniform(0.5, 1.0), draws.uniform(0.12, 0.25)

    def string(hz: float, velocity: float) -> Tone:
        def tone(times_N: np.ndarray) -> np.ndarray:
            bright_N = bright * np.exp(-times_N / (2.5 * ring_s))
            level_N = velocity * held(times_N, 2 * ring_s, 0.003, ring_s) * np.exp(-times_N / ring_s)
            wave_N = harmonic_tone(times_N, hz, bright_N, sample_rate)
            return level_N * (wave_N - harmonic_tone(times_N, hz, bright_N, sample_rate, -plucked_at))

        return tone

    for bar, chord in enumerate(score.chords):
        low = score.chord_notes(chord, lowest)
        strings = [*low, low[0] + 12, low[1] + 12]
        for step, string_number in enumerate(order):
            note = string(hertz(float(strings[string_number])), draws.uniform(0.7, 1.0))
            place(out_NC, sample_rate, bar * score.bar_s + step * score.eighth_s, 2 * ring_s, pan, note)


def _piano(draws: Draws, score: Score, out_NC: np.ndarray, sample_rate: int) -> None:
    """Electric piano by frequency modulation: a body whose modulation dies away and a bell-like stroke."""
    lowest = 53 + int(draws.uniform(0, 9))
    pan, rhythm = draws.uniform(-0.6, 0.6), draws.pick(PIANO_RHYTHMS)
    depth, decay_s, bell = draws.uniform(0.8, 1.8), draws.uniform(0.7, 1.4), draws.uniform(0.08, 0.2)

    def key(hz: float, length_s: float, velocity: float) -> Tone:
        bell_level = bell * velocity * float(taper(np.asarray(8 * hz), 0.49 * sample_rate))

        def tone(times_N: np.ndarray) -> np.ndarray:
            phase_N = 2 * np.pi * hz * times_N
            bend_N = depth * velocity * np.exp(-times_N / (0.4 * decay_s)) * np.sin(phase_N)
            stroke_N = bell_level * np.exp(-times_N / 0.12) * np.sin(7 * phase_N)
            level_N = velocity * held(times_N, length_s, 0.004, 0.08) * np.exp(-times_N / decay_s)
            return level_N * (np.sin(phase_N + bend_N) + stroke_N)

        return tone

    for bar, chord in enumerate(score.chords):
        notes = score.chord_notes(chord, lowest)
        for step, until in zip(rhythm, (*rhythm[1:], 8), strict=True):
            length_s = (until - step) * score.eighth_s
            velocity = draws.uniform(0.7, 1.0)
            for midi in (*notes, notes[0] - 12):
                note = key(hertz(float(midi)), length_s, velocity)
                place(out_NC, sample_rate, bar * score.bar_s + step * score.eighth_s, length_s, pan, note)
