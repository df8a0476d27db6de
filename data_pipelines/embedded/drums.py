"""The drummer: which drum sounds when, and how hard."""

from typing import NamedTuple

from data_pipelines.embedded.score import BARS_A_SECTION, Score
from data_pipelines.embedded.streams import Draws

#: Bars of sixteenth notes; a digit is the force of a stroke, from 1 to 9.
KICKS = ("9.......9.......", "9.....7.9.......", "9.......8.7.....", "9..7....8..7....", "9...8...9...8...")
SNARES = ("....9.......9...", "....9..2....9..3", "....9.......9.4.", "........9.......")
HATS = ("7.5.7.5.7.5.7.5.", "7353735373537353", "7...6...7...6...", "..8...8...8...8.", "7.5.7.557.5.7.53")
FILLS = ("........5678789.", "........8.76.867", "............6789", "........9..9..89")


class Hit(NamedTuple):
    """A stroke on a drum: the start in seconds, the force from 0 to 1."""

    drum: str
    start_s: float
    force: float


def draw_hits(draws: Draws, score: Score) -> list[Hit]:
    """A beat for each of two sections, with a fill before each change and a cymbal after it."""
    beats = [(draws.pick(KICKS), draws.pick(SNARES), draws.pick(HATS)) for _ in range(2)]
    hits = []
    for bar in range(len(score.chords)):
        kick, snare, hat = beats[bar // BARS_A_SECTION % 2]
        lines = {"kick": kick, "snare": snare, "hat": hat}
        if bar % BARS_A_SECTION == 0:
            lines["cymbal"] = "7" + 15 * "."
        if bar % BARS_A_SECTION == BARS_A_SECTION - 1:
            fill = draws.pick(FILLS)
            first = len(fill) - len(fill.lstrip("."))
            lines = {drum: line[:first].ljust(16, ".") for drum, line in lines.items()}
            lines["tom"] = fill
        hits += _bar_hits(draws, lines, bar * score.bar_s, score.bar_s / 16)
    return hits


def _bar_hits(draws: Draws, lines: dict[str, str], bar_start_s: float, step_s: float) -> list[Hit]:
    """The strokes of one bar, a few milliseconds late, and toms going down the set through a fill."""
    hits = []
    for drum, line in lines.items():
        for step, force in enumerate(line):
            if force == ".":
                continue
            start_s = bar_start_s + step * step_s + draws.uniform(0, 0.006)
            name = ("snare", "tom high", "tom low")[(step - 8) // 3] if drum == "tom" else drum
            hits.append(Hit(name, start_s, int(force) / 9 * draws.uniform(0.9, 1.0)))
    return hits
