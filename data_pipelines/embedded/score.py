"""What all players of a song agree on (tempo, key, chords), and what is sung."""

import math
from dataclasses import dataclass

from data_pipelines.embedded.phones import CONSONANTS, VOWELS
from data_pipelines.embedded.streams import Draws

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)

#: Four-bar chord progressions, as scale degrees counted from 0.
PROGRESSIONS = {
    MAJOR: ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4), (0, 2, 3, 4), (3, 0, 4, 5)),
    MINOR: ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (5, 6, 0, 0), (0, 2, 6, 3), (3, 0, 5, 4)),
}

BARS_A_SECTION = 4


@dataclass(frozen=True)
class Score:
    """Tempo, key and one chord a bar of four beats; the first bar starts at 0 s."""

    seconds: float
    beat_s: float
    key_midi: int
    scale: tuple[int, ...]
    chords: tuple[int, ...]

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
    """Tempo from 76 to 132 beats a minute; two progressions that take turns every four bars."""
    beat_s = 60 / draws.uniform(76, 132)
    scale = draws.pick((MAJOR, MINOR))
    progressions = draws.pick(PROGRESSIONS[scale]), draws.pick(PROGRESSIONS[scale])
    bars = math.ceil(seconds / (4 * beat_s)) + 1
    chords = tuple(progressions[bar // BARS_A_SECTION % 2][bar % BARS_A_SECTION] for bar in range(bars))
    return Score(seconds, beat_s, 49 + int(draws.uniform(0, 12)), scale, chords)


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
