"""What all players of a song agree on: tempo, key and chords."""

import math
from dataclasses import dataclass

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
