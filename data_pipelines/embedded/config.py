"""What the embedded corpus is made from."""

import math
from dataclasses import dataclass

from madsep_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class EmbeddedConfig:
    """Settings of the embedded corpus. Raises InputError for a value that cannot be used.

    A song depends on `seed`, its split and its number; never on how many songs there are. `seconds` is the
    length of each song; `sample_rate` (Hz) changes how the same music is rendered.
    """

    seed: int = 0
    train_songs: int = 12
    test_songs: int = 4
    seconds: float = 12.0
    sample_rate: int = 44100

    def __post_init__(self):
        _check_integer("seed", self.seed, 0, 2**63 - 1)
        _check_integer("train_songs", self.train_songs, 0, 10_000)
        _check_integer("test_songs", self.test_songs, 0, 10_000)
        _check_integer("sample_rate", self.sample_rate, 8_000, 192_000)
        if self.train_songs + self.test_songs == 0:
            raise InputError("embedded corpus: train_songs and test_songs are both 0, expected at least one song")
        number = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if not number or not math.isfinite(self.seconds) or not 1 <= self.seconds <= 600:
            raise InputError(f"embedded corpus: seconds is {self.seconds!r}, expected a number from 1 to 600")


def _check_integer(field: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"embedded corpus: {field} is {value!r}, expected an integer from {low} to {high}")
