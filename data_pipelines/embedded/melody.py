"""What is sung: phrases of syllables on the notes of the song's key, with rests between the phrases."""

import math
from dataclasses import dataclass

from data_pipelines.embedded.phones import CONSONANTS, VOWELS
from data_pipelines.embedded.score import Score
from data_pipelines.embedded.streams import Draws

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
