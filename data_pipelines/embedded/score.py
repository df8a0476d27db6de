"""What all of a song agree on: tempo, key, chords, who plays; and what is sung: its melody, its syllables' sounds."""

import math
from dataclasses import dataclass

from data_pipelines.embedded.tones import Draws

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)

#: Four-bar chord progressions, as scale degrees counted from 0.
PROGRESSIONS = {
    MAJOR: ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4), (0, 2, 3, 4), (3, 0, 4, 5)),
    MINOR: ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (5, 6, 0, 0), (0, 2, 6, 3), (3, 0, 5, 4)),
}

BARS_A_SECTION = 4

#: Who plays beside the singer: one or several of pad, guitar, piano and organ, and most often drums and bass.
LINEUPS = (
    ("drums", "bass", "pad", "guitar"),
    ("drums", "bass", "pad", "piano"),
    ("drums", "bass", "guitar", "piano"),
    ("drums", "bass", "organ", "guitar"),
    ("drums", "bass", "guitar"),
    ("drums", "organ"),
    ("bass", "guitar", "piano"),
    ("guitar", "pad"),
)


@dataclass(frozen=True)
class Score:
    """Tempo, key, one chord a bar of four beats, and who plays; the first bar starts at 0 s."""

    seconds: float
    beat_s: float
    key_midi: int
    scale: tuple[int, ...]
    chords: tuple[int, ...]
    lineup: tuple[str, ...]

    @property
    def bar_s(self) -> float:
        """Length of a bar in seconds."""
        return 4 * self.beat_s

    @property
    def eighth_s(self) -> float:
        """Length of an eighth note in seconds."""
        return self.beat_s / 2

    def midi(self, degree: int) -> int:
        """MIDI note number of a scale degree; 0 is the key note in the octave from middle C down."""
        return self.key_midi + 12 * (degree // 7) + self.scale[degree % 7]

    def chord_at(self, time_s: float) -> int:
        """Root, as a scale degree, of the chord that sounds at a time."""
        return self.chords[min(int(time_s / self.bar_s + 1e-6), len(self.chords) - 1)]

    def chord_notes(self, chord: int, lowest_midi: int) -> list[int]:
        """Root, third and fifth of a chord as MIDI notes in the octave above `lowest_midi`, ascending."""
        return sorted(lowest_midi + (self.midi(chord + step) - lowest_midi) % 12 for step in (0, 2, 4))


def draw_score(draws: Draws, seconds: float) -> Score:
    """Draw tempo (76 to 132 beats a minute), two progressions that take turns every four bars, key, mode and lineup.

    Songs share out the last three equally.
    """
    beat_s = 60 / draws.uniform(76, 132)
    scale = draws.in_turn((MAJOR, MINOR))
    progressions = draws.pick(PROGRESSIONS[scale]), draws.pick(PROGRESSIONS[scale])
    bars = math.ceil(seconds / (4 * beat_s)) + 1
    chords = tuple(progressions[bar // BARS_A_SECTION % 2][bar % BARS_A_SECTION] for bar in range(bars))
    return Score(seconds, beat_s, draws.in_turn(range(49, 61)), scale, chords, draws.in_turn(LINEUPS))


#: First three formants in Hz of adult men's vowels: the averages of Peterson & Barney (1952), table II.
VOWELS = {
    "i": (270, 2290, 3010),
    "e": (530, 1840, 2480),
    "ae": (660, 1720, 2410),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "uh": (640, 1190, 2390),
    "er": (490, 1350, 1690),
}


@dataclass(frozen=True)
class Consonant:
    """A consonant fills the `length_s` before its vowel; its noise sounds after `closure_s` of silence.

    `voicing` is the level of the voice beneath it, `noise` the level of the noise in each of `singing.NOISE_BANDS`, and
    `formants` (Hz) where the voice's formants move, if they do.
    """

    length_s: float
    voicing: float = 0.0
    noise: tuple[float, float, float] = (0, 0, 0)
    closure_s: float = 0.0
    formants: tuple[int, int, int] | None = None


CONSONANTS = {
    "": Consonant(0.03, 0.85),
    "s": Consonant(0.12, noise=(0, 0.25, 1)),
    "sh": Consonant(0.12, noise=(0.2, 1, 0.6)),
    "f": Consonant(0.09, noise=(0.2, 0.2, 0.25)),
    "h": Consonant(0.07, 0.05, noise=(0.35, 0.25, 0.1)),
    "p": Consonant(0.08, noise=(0.8, 0.4, 0.3), closure_s=0.055),
    "t": Consonant(0.085, noise=(0.3, 0.8, 1.2), closure_s=0.05),
    "k": Consonant(0.085, noise=(1.0, 0.9, 0.4), closure_s=0.05),
    "b": Consonant(0.06, 0.15, noise=(0.3, 0.15, 0.1), closure_s=0.045),
    "d": Consonant(0.06, 0.15, noise=(0.15, 0.4, 0.4), closure_s=0.045),
    "m": Consonant(0.075, 0.4, formants=(260, 1050, 2200)),
    "n": Consonant(0.075, 0.4, formants=(260, 1600, 2500)),
    "l": Consonant(0.065, 0.5, formants=(360, 1200, 2700)),
    "r": Consonant(0.065, 0.5, formants=(400, 1150, 1600)),
    "w": Consonant(0.065, 0.5, formants=(300, 700, 2200)),
}

#: Lengths of syllables in eighth notes, and steps of the melody in scale degrees, as often as listed.
LENGTHS = (1, 1, 1, 2, 2, 2, 3, 4)
STEPS = (-3, -2, -2, -1, -1, -1, 0, 1, 1, 1, 2, 2, 3)

#: How far in scale degrees the melody goes from its centre.
REACH = 5


@dataclass(frozen=True)
class Syllable:
    """One sung syllable: its vowel sounds from `start_s` to `end_s`, its consonant just before."""

    start_s: float
    end_s: float
    midi: int
    consonant: str
    vowel: str
    level: float


Phrase = list[Syllable]


def draw_melody(draws: Draws, score: Score, centre_midi: float) -> list[Phrase]:
    """Phrases of 2.4 to 4.4 s with rests of 0.4 to 1.3 s (to the next eighth note), around a centre pitch."""
    eighth_s = score.eighth_s
    centre = next(degree for degree in range(-14, 28) if score.midi(degree) >= centre_midi)
    degree, position = centre, draws.pick((0, 0, 1))
    phrases = []
    while position * eighth_s < score.seconds:
        goal = position + math.ceil(draws.uniform(2.4, 3.8) / eighth_s)
        phrase: Phrase = []
        while position < goal:
            length = draws.pick(LENGTHS)
            degree = _next_degree(draws, score, degree, centre, position)
            if position + length >= goal:
                length = max(length, 2)
            phrase.append(_syllable(draws, score, position, length, degree))
            position += length
        phrases.append(phrase)
        position += math.ceil(0.4 / eighth_s + draws.uniform(0, 0.5) / eighth_s)
    return phrases


def _next_degree(draws: Draws, score: Score, degree: int, centre: int, position: int) -> int:
    """A small step, inwards where it would leave the reach, and on the beat most often to a chord note."""
    step = draws.pick(STEPS)
    if abs(degree + step - centre) > REACH:
        step = -abs(step) if degree > centre else abs(step)
    degree += step
    to_chord_note = draws.chance(0.65)
    if position % 2 == 0 and to_chord_note:
        chord = score.chord_at(position * score.eighth_s)
        degree += next(away for away in (0, 1, -1) if (degree + away - chord) % 7 in (0, 2, 4))
    return degree


def _syllable(draws: Draws, score: Score, position: int, length: int, degree: int) -> Syllable:
    return Syllable(
        start_s=position * score.eighth_s,
        end_s=(position + length) * score.eighth_s,
        midi=score.midi(degree),
        consonant=draws.pick(tuple(CONSONANTS)),
        vowel=draws.pick(tuple(VOWELS)),
        level=draws.uniform(0.75, 1.0),
    )
