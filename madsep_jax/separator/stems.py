"""What a song is made of, as arrays."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madsep_jax.audio import Missing
from madsep_jax.config.signal import STEMS, Format
from madsep_jax.separator.stem_files import check_peaks, default_subtype, most_of, open_stems, tags_of


@dataclass(frozen=True, eq=False)
class Stems:
    """Voice and accompaniment of a song, float32 (samples N, channels); they add up to it."""

    voice_NC: np.ndarray
    accompaniment_NC: np.ndarray
    sample_rate: int
    """Hz."""
    missing: tuple[Missing, ...] = ()
    """What of the song's file could not be decoded, and is left out."""

    def write(
        self,
        folder: str | os.PathLike[str],
        *,
        format: Format = "wav",
        subtype: str | None = None,
        bitrate: int | None = None,
    ) -> dict[str, Path]:
        """Write `vocals` and `accompaniment` into a folder, both or none, and return their paths.

        As files of integers they add up to the song too. The arguments are those of `madsep_jax.audio.open_writer`; by
        default wav files hold float32, and flac files 24 bits.

        >>> import numpy as np
        >>> from madsep_jax import Stems
        >>> silence_NC = np.zeros((8000, 2), np.float32)
        >>> files = Stems(silence_NC, silence_NC, sample_rate=8000).write("separated", format="flac")
        >>> files["vocals"].as_posix()
        'separated/vocals.flac'

        Raises:
            InputError: the samples are too loud for integers, the format cannot hold them, or the folder does not take
                the files.
        """
        folder, mixture_NC = Path(folder), self.voice_NC + self.accompaniment_NC
        subtype = subtype or default_subtype("FLOAT", format)
        least, most = most_of(subtype)
        beyond = int(np.count_nonzero((mixture_NC < least) | (mixture_NC > most)))
        check_peaks(beyond, mixture_NC.size, float(np.abs(mixture_NC).max(initial=0)), subtype)
        places = {stem: folder / f"{stem}.{format}" for stem in STEMS}
        samples, channels = mixture_NC.shape
        settings = {"bitrate": bitrate, "frames": samples, "tags": tags_of({}, format)}
        with open_stems(folder, places, self.sample_rate, channels, subtype=subtype, **settings) as write:
            write(mixture_NC, self.voice_NC)
        return places
