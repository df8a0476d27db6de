"""The songs as tracks: draw the music, render the stems, set the levels."""

import hashlib
from dataclasses import dataclass

import numpy as np

from data_pipelines.embedded.bass import render_bass
from data_pipelines.embedded.chords import render_other
from data_pipelines.embedded.config import EmbeddedConfig
from data_pipelines.embedded.drums import draw_hits
from data_pipelines.embedded.kit import draw_kit, render_drums
from data_pipelines.embedded.melody import draw_melody
from data_pipelines.embedded.score import Score, draw_score
from data_pipelines.embedded.singing import draw_singer, sing
from data_pipelines.embedded.streams import Draws
from data_pipelines.embedded.vocals import render_voice
from data_pipelines.tracks import STEMS, Split, TrackAudio

#: Raise this whenever any sample of any song changes; it is part of every fingerprint.
SYNTHESIS_VERSION = 1

#: Peak of every mixture.
PEAK = 0.9


@dataclass(frozen=True)
class EmbeddedTrack:
    """One song of the embedded corpus; a `data_pipelines.tracks.Track`."""

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
        return hashlib.sha256(f"embedded/{SYNTHESIS_VERSION}/{song}".encode()).hexdigest()[:16]

    def read(self) -> TrackAudio:
        """Make the song: stereo, the mixture being the sum of the stems and its peak 0.9."""
        score = draw_score(self._draws("score"), self.config.seconds)
        stems_NC = _balance(
            self._draws("mix"),
            vocals_NC=self._vocals(score),
            drums_NC=self._drums(score),
            bass_NC=render_bass(self._draws("bass"), score, self.samples, self.sample_rate),
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
        phrases = draw_melody(draws, score, singer.centre_midi)
        singing = sing(draws, singer, phrases, self.config.seconds)
        voice_N = render_voice(self._draws("vocals noise"), singer, singing, self.samples, self.sample_rate)
        return np.stack([voice_N, voice_N], axis=1)

    def _drums(self, score: Score) -> np.ndarray:
        draws = self._draws("drums")
        kit, hits = draw_kit(draws), draw_hits(draws, score)
        return render_drums(self._draws("drums noise"), kit, hits, self.samples, self.sample_rate)


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
    """The stem scaled to a root mean square in dB."""
    return stem_NC * 10 ** (level_db / 20) / np.sqrt((stem_NC**2).mean())
