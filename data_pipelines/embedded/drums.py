"""The drums: which sounds when and how hard, and how it sounds."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.signal import sosfilt

from data_pipelines.embedded.score import BARS_A_SECTION, Score
from data_pipelines.embedded.tones import Draws, Tone, band_pass, pan_gains, place

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


#: A drum's tone is over after this many of its decay times.
DECAYS = 7


@dataclass(frozen=True)
class Drum:
    """A tone that falls to `hz` from 1 + `drop` times that and dies away, and a band of noise that dies away.

    Pan from -1 to 1, levels relative to each other, frequencies in Hz, decay times in s.
    """

    pan: float = 0.0
    tone: float = 0.0
    hz: float = 100.0
    drop: float = 0.0
    drop_s: float = 0.03
    tone_s: float = 0.1
    noise: float = 0.0
    band_hz: tuple[float, float] = (1000.0, 8000.0)
    noise_s: float = 0.1


def draw_kit(draws: Draws) -> dict[str, Drum]:
    """A drum set, a little different in each song, as the audience sees it from the hall."""
    side = draws.pick((-1, 1))
    kick_hz, tom_hz, snare_hz = draws.uniform(46, 62), draws.uniform(80, 110), draws.uniform(165, 220)
    snare_band = draws.uniform(900, 1800), draws.uniform(7000, 10000)
    hat_band = draws.uniform(5500, 7500), 15000.0
    tom = Drum(0.4 * side, 0.9, 1.6 * tom_hz, 0.6, 0.05, 0.13, 0.1, noise_s=0.03)
    return {
        "kick": Drum(
            tone=1.3,
            hz=kick_hz,
            drop=draws.uniform(2.5, 4.5),
            drop_s=0.025,
            tone_s=draws.uniform(0.1, 0.17),
            noise=0.25,
            band_hz=(1500, 4500),
            noise_s=0.006,
        ),
        "snare": Drum(
            pan=0.1 * side,
            tone=0.5,
            hz=snare_hz,
            drop=0.4,
            drop_s=0.02,
            tone_s=0.06,
            noise=draws.uniform(0.8, 1.2),
            band_hz=snare_band,
            noise_s=draws.uniform(0.06, 0.11),
        ),
        "hat": Drum(
            pan=0.5 * side,
            noise=draws.uniform(0.35, 0.55),
            band_hz=hat_band,
            noise_s=draws.uniform(0.02, 0.05),
        ),
        "cymbal": Drum(
            pan=-0.5 * side,
            noise=draws.uniform(0.25, 0.4),
            band_hz=(3500, 14000),
            noise_s=draws.uniform(0.4, 0.7),
        ),
        "tom high": tom,
        "tom low": replace(tom, pan=-0.4 * side, hz=tom_hz),
    }


def render_drums(
    noise_draws: Draws, kit: dict[str, Drum], hits: list[Hit], samples: int, sample_rate: int
) -> np.ndarray:
    """The drums stem (N, 2) at a sample rate in Hz."""
    drums_NC = np.zeros((samples, 2))
    for name, drum in kit.items():
        strokes = [hit for hit in hits if hit.drum == name]
        strength_N1 = np.zeros((samples, 1))
        for hit in strokes:
            length_s = DECAYS * drum.tone_s
            place(drums_NC, sample_rate, hit.start_s, length_s, drum.pan, _tone(drum, hit.force))
            _add_decay(strength_N1, sample_rate, hit, drum.noise_s)
        # One noise for the whole song: a stroke opens a window on it, so it may start between two samples.
        noise_N = sosfilt(band_pass(*drum.band_hz, sample_rate), noise_draws.noise(samples, sample_rate))
        drums_NC += drum.noise * strength_N1 * noise_N[:, None] * pan_gains(drum.pan)
    return drums_NC


def _add_decay(strength_N1: np.ndarray, sample_rate: int, hit: Hit, decay_s: float) -> None:
    """Add in place the rise (1 ms) and fall of one stroke."""
    first = int(np.ceil(hit.start_s * sample_rate))
    last = int(np.ceil((hit.start_s + DECAYS * decay_s) * sample_rate))
    times_N = np.arange(first, min(last, len(strength_N1))) / sample_rate - hit.start_s
    strength_N1[first:last, 0] += hit.force * (1 - np.exp(-times_N / 0.001)) * np.exp(-times_N / decay_s)


def _tone(drum: Drum, force: float) -> Tone:
    def tone(times_N: np.ndarray) -> np.ndarray:
        cycles_N = drum.hz * (times_N + drum.drop * drum.drop_s * (1 - np.exp(-times_N / drum.drop_s)))
        level_N = (1 - np.exp(-times_N / 0.001)) * np.exp(-times_N / drum.tone_s)
        return force * drum.tone * level_N * np.sin(2 * np.pi * cycles_N)

    return tone
