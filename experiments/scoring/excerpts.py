"""Excerpts of songs, of their true sources and of what separators make of these, to be heard and seen on a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.songs.tracks import safe_name
from madsep_jax.audio import open_writer
from madsep_jax.errors import InputError
from madsep_jax.host.files import clear_leftovers, read_json, write_json

#: The length of an excerpt, where the song is not shorter.
SECONDS = 15.0

#: The excerpt begins at a whole number of steps of so many seconds.
_STEP_S = 0.1

#: Vorbis, which browsers play: on average, of stereo at 44.1 kHz; in kbit/s.
_KBITS = 112
_RATES = range(8000, 192001)  # Hz, that it is made for

_ABOUT = "excerpt.json"
MIXTURE = "mixture"


@dataclass(frozen=True)
class ExcerptFolders:
    """Where excerpts are: of each song the mixture and its true sources, once for all systems, and those of a system.

    `FOLDER/SONG/TARGET.ogg`, and beside the true ones `excerpt.json`, which says where in the song they begin.
    """

    of_songs: Path
    of_system: Path

    def cut(
        self,
        track: str,
        mixture_NC: np.ndarray,
        references_NC: Mapping[str, np.ndarray],
        estimates_NC: Mapping[str, np.ndarray],
        sample_rate: int,
    ) -> "Excerpt | None":
        """Cut mixture, true sources and estimates where the voice is loudest; None at a rate that Vorbis has not."""
        if sample_rate not in _RATES:
            return None
        where = loudest(references_NC["vocals"], sample_rate)
        true = {MIXTURE: mixture_NC, **references_NC}
        song = safe_name(track)
        return Excerpt(
            {self.of_songs / song / f"{name}.ogg": true_NC[where].astype(np.float32) for name, true_NC in true.items()},
            {
                self.of_system / song / f"{name}.ogg": x_NC[where].astype(np.float32)
                for name, x_NC in estimates_NC.items()
            },
            self.of_songs / song / _ABOUT,
            {"track": track, "start_s": where.start / sample_rate},
            sample_rate,
        )


@dataclass(frozen=True)
class Excerpt:
    """What is cut out of one song and the estimates of one system: float32 arrays (N, C) by their files."""

    true: Mapping[Path, np.ndarray]
    estimates: Mapping[Path, np.ndarray]
    about_file: Path
    about: Mapping[str, object]
    sample_rate: int

    def write(self) -> None:
        """Write all of it, each file whole or not at all; what is true, where no other system's scoring has."""
        missing = {} if self.about_file.is_file() else self.true
        for folder in {path.parent for path in (*self.true, *self.estimates)}:
            clear_leftovers(folder)
        for path, samples_NC in {**missing, **self.estimates}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_writer(path, self.sample_rate, samples_NC.shape[1], bitrate=_KBITS) as writer:
                writer.write(samples_NC)
        if missing:
            write_json(self.about_file, dict(self.about))


def loudest(voice_NC: np.ndarray, sample_rate: int, seconds: float = SECONDS) -> slice:
    """Return the samples of the stretch in which a voice has most energy, the first of equal ones."""
    step, steps = round(_STEP_S * sample_rate), round(seconds / _STEP_S)
    whole_NC = voice_NC[: len(voice_NC) // step * step]
    energy_W = np.square(whole_NC, dtype=np.float64).reshape(-1, step * voice_NC.shape[1]).sum(1)
    if len(energy_W) <= steps:
        return slice(0, min(len(voice_NC), steps * step))
    before_W = np.concatenate([[0.0], np.cumsum(energy_W)])
    first = int(np.argmax(before_W[steps:] - before_W[:-steps])) * step
    return slice(first, first + steps * step)


@dataclass(frozen=True)
class KeptSong:
    """The excerpt of a song that is kept: its name, where it begins, and the files of mixture and true sources."""

    track: str
    start_s: float
    files: Mapping[str, Path]


def kept_songs(of_songs: Path) -> dict[str, KeptSong]:
    """Return the songs of which there are excerpts, by the names of their folders.

    Raises InputError where one is damaged.
    """
    found = {}
    for path in sorted(of_songs.glob(f"*/{_ABOUT}")):
        about = read_json(path)
        try:
            found[path.parent.name] = KeptSong(str(about["track"]), float(about["start_s"]), kept_files(path.parent))
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}: is damaged, expected what scoring wrote; delete its folder") from None
    return found


def kept_files(folder: Path) -> dict[str, Path]:
    """Return the files of an excerpt by the names of the sources."""
    return {path.stem: path for path in sorted(folder.glob("*.ogg"))}
