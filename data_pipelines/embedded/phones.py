"""The sounds of the sung syllables."""

from dataclasses import dataclass

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

#: Fourth and fifth formants and all five bandwidths, Hz.
UPPER_FORMANTS = (3300, 3900)
BANDWIDTHS = (75, 95, 130, 190, 270)

#: Edges in Hz of the noise bands that consonants are made of: h and k, sh and k, s and t.
NOISE_BANDS = ((900, 2000), (2000, 4000), (4200, 8500))


@dataclass(frozen=True)
class Consonant:
    """A consonant fills the `length_s` before its vowel; its noise sounds after `closure_s` of silence.

    `voicing` is the level of the voice beneath it, `noise` the level of the noise in each of NOISE_BANDS, and
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
