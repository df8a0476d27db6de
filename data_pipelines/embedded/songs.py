"""The songs as tracks: draw the music, render the stems, set the levels."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from data_pipelines.embedded.chords import render_bass, render_other
from data_pipelines.embedded.drums import draw_hits, draw_kit, render_drums
from data_pipelines.embedded.score import Score, draw_melody, draw_score
from data_pipelines.embedded.singing import draw_singer, render_voice, sing
from data_pipelines.embedded.tones import Draws
from data_pipelines.songs.tracks import STEMS, Split, TrackAudio, fingerprint_of
from madsep_jax.errors import InputError

#: Raise this whenever any sample of any song changes; it is part of every fingerprint.
SYNTHESIS_VERSION = 2

#: Peak of every mixture.
PEAK = 0.9


@dataclass(frozen=True, kw_only=True)
class EmbeddedConfig:
    """Settings of the embedded corpus. Raises InputError for a value that cannot be used.

    A song depends on `seed`, its split and its number; never on how many songs there are. `seconds` is the
    length of each song; `sample_rate` (Hz) changes how the same music is rendered.
    """

    seed: int = 0
    train_songs: int = 48
    test_songs: int = 16
    seconds: float = 8.0
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


@dataclass(frozen=True)
class EmbeddedTrack:
    """One song of the embedded corpus; a `data_pipelines.songs.tracks.Track`."""

    config: EmbeddedConfig
    split: Split
    index: int

    @property
    def name(self) -> str:
        """For example "train 00"."""
        return f"{self.split} {self.index:02d}"

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        """Stereo."""
        return 2

    @property
    def stems(self) -> tuple[str, ...]:
        """Those of DSD100 and MUSDB18."""
        return STEMS

    @property
    def samples(self) -> int:
        """Length of the song in samples."""
        return round(self.config.seconds * self.config.sample_rate)

    @property
    def duration_s(self) -> float:
        """Length of the song in seconds."""
        return self.samples / self.sample_rate

    def fingerprint(self) -> str:
        """16 hexadecimal digits that depend on all that the samples depend on."""
        config = self.config
        song = f"{config.seed}/{self.split}/{self.index}/{float(config.seconds)!r}/{config.sample_rate}"
        return fingerprint_of(f"embedded/{SYNTHESIS_VERSION}/{song}")

    def read(self) -> TrackAudio:
        """Return the song: stereo, the mixture being the sum of the stems and its peak 0.9.

        The last few that were made are kept, as every row of a table is scored on the same ones; they are not to be
        written to.
        """
        return _kept(self)

    def make(self) -> TrackAudio:
        """Make the song, whether it was made before or not."""
        score = draw_score(self._draws("score"), self.config.seconds)
        silence_NC = np.zeros((self.samples, 2))
        bass = self._draws("bass"), score, self.samples, self.sample_rate
        stems_NC = _balance(
            self._draws("mix"),
            vocals_NC=self._vocals(score),
            drums_NC=self._drums(score) if "drums" in score.lineup else silence_NC,
            bass_NC=render_bass(*bass) if "bass" in score.lineup else silence_NC,
            other_NC=render_other(self._draws("other"), score, self.samples, self.sample_rate),
        )
        mixture_NC = np.stack([stems_NC[stem] for stem in STEMS]).sum(axis=0)
        return TrackAudio(self.sample_rate, mixture_NC, stems_NC)

    def _draws(self, part: str) -> Draws:
        return Draws(self.config.seed, self.split, self.index, part)

    def _vocals(self, score: Score) -> np.ndarray:
        """The voice in the middle (N, 2). Noise has its own stream: its length depends on the sample rate."""
        draws = self._draws("vocals")
        singer = draw_singer(draws)
        singing = sing(draws, singer, draw_melody(draws, score, singer.centre_midi), self.config.seconds)
        voice_N = render_voice(self._draws("vocals noise"), singer, singing, self.samples, self.sample_rate)
        return np.stack([voice_N, voice_N], axis=1)

    def _drums(self, score: Score) -> np.ndarray:
        draws = self._draws("drums")
        kit, hits = draw_kit(draws), draw_hits(draws, score)
        return render_drums(self._draws("drums noise"), kit, hits, self.samples, self.sample_rate)


@functools.lru_cache(maxsize=16)
def _kept(track: EmbeddedTrack) -> TrackAudio:
    audio = track.make()
    for samples_NC in (audio.mixture_NC, *audio.stems_NC.values()):
        samples_NC.setflags(write=False)
    return audio


def embedded_tracks(config: EmbeddedConfig) -> list[EmbeddedTrack]:
    """All songs of the corpus, those to train on first. Nothing is rendered until a track is read."""
    return [
        *(EmbeddedTrack(config, "train", index) for index in range(config.train_songs)),
        *(EmbeddedTrack(config, "test", index) for index in range(config.test_songs)),
    ]


def _balance(
    draws: Draws, *, vocals_NC: np.ndarray, drums_NC: np.ndarray, bass_NC: np.ndarray, other_NC: np.ndarray
) -> dict[str, np.ndarray]:
    """Set the levels, as float32: the voice lies 3 to 8 dB below the sum of the other stems, by song."""
    drums_NC = _at_level(drums_NC, draws.uniform(-2, 2))
    bass_NC = _at_level(bass_NC, draws.uniform(-3, 1))
    other_NC = _at_level(other_NC, draws.uniform(-1, 3))
    band_NC = drums_NC + bass_NC + other_NC
    band_db = 10 * np.log10((band_NC**2).mean())
    vocals_NC = _at_level(vocals_NC, band_db - draws.uniform(3, 8))
    gain = PEAK / np.abs(vocals_NC + band_NC).max()
    stems_NC = {"vocals": vocals_NC, "drums": drums_NC, "bass": bass_NC, "other": other_NC}
    return {stem: (gain * stem_NC).astype(np.float32) for stem, stem_NC in stems_NC.items()}


def _at_level(stem_NC: np.ndarray, level_db: float) -> np.ndarray:
    """The stem scaled to a root mean square in dB; one of nobody stays silent."""
    return stem_NC * 10 ** (level_db / 20) / np.sqrt((stem_NC**2).mean() or 1)


def _check_integer(field: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"embedded corpus: {field} is {value!r}, expected an integer from {low} to {high}")


def corpus(sample_rate: int) -> list[EmbeddedTrack]:
    """Return the songs at a rate in Hz, those to train on first."""
    return embedded_tracks(EmbeddedConfig(sample_rate=sample_rate))
