"""The separator: a trained model, and how it is applied to songs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from madsep_jax.audio import Missing, read_audio
from madsep_jax.checkpoint.folder import load_level, load_model, save_model
from madsep_jax.config.run import RunConfig
from madsep_jax.config.signal import FOR_SONGS, STEMS, Format, SeparationConfig
from madsep_jax.config.systems import system_name
from madsep_jax.config.training import Which
from madsep_jax.interop.exported import ENDING, read_model, write_model
from madsep_jax.models.outside import load_code
from madsep_jax.parallel.devices import computing_on, device_named
from madsep_jax.separation import Separated, as_song, separate, separate_blocks
from madsep_jax.separator.latency import Latency, latency_of
from madsep_jax.separator.song_file import OnProgress, SeparatedFile, ignore, separate_file, song_file
from madsep_jax.separator.stems import Stems
from madsep_jax.signal.level import How, Survey, how_to_separate


class Separator:
    """A trained model that takes songs apart: arrays, files, and streams of blocks.

    It needs JAX, Flax, optax and Orbax; `madsep-jax[audio]` only where it is given a file, or a song of another rate
    than the model's.

    >>> import numpy as np
    >>> from madsep_jax import Separator
    >>> separator = Separator.load("runs/quick-embedded/rows/mad-seed0")
    >>> song_NC = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)).astype(np.float32)
    >>> stems = separator.separate(song_NC, 8000)
    >>> stems.voice_NC.shape
    (8000, 2)
    >>> bool(np.allclose(stems.voice_NC + stems.accompaniment_NC, song_NC, atol=1e-6))
    True
    """

    def __init__(
        self,
        config: RunConfig,
        variables: Mapping[str, Any],
        training_level: float | None = None,
        *,
        separation: SeparationConfig = FOR_SONGS,
        device: jax.Device | str | None = None,
    ) -> None:
        """Take a model as `madsep_jax.train.train`, or a checkpoint, has it.

        Args:
            config: of the model.
            variables: the trained weights.
            training_level: root mean square of the mixtures that it was trained on; None: not known, and songs keep
                their own level.
            separation: the mask's limit, and the level at which a song is heard; by default as `madsep separate` has
                them. `SeparationConfig()` is as published.
            device: where it computes, or its name, as `cpu`, `gpu` or `gpu:1`; None for JAX's own choice. Raises
                InputError where there is none.
        """
        self.config, self.training_level, self.separation = config, training_level, separation
        self.device = device_named(device) if isinstance(device, str) else device
        self.variables = jax.device_put(variables, self.device)
        self._computed = computing_on(config, self.device)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        which: Which | None = None,
        code: str | None = None,
        separation: SeparationConfig = FOR_SONGS,
        device: jax.Device | str | None = None,
    ) -> "Separator":
        """Load what was trained.

        Args:
            path: a checkpoint's folder or that of an ablation's row, as `madsep separate` takes it; or a `.safetensors`
                file that `madsep export` or `save` wrote.
            which: of a checkpoint's weights, best or latest; None for those that its training is judged by.
            code: file (my_masker.py) or module of a masker of your own, which is run, for what was trained with it.
            separation: as of the class, and so is the device.

        Raises:
            InputError: where there is no such thing, it is damaged, or a package that reads it is not installed.
        """
        path = Path(path)
        if code:
            load_code(code)
        if path.suffix == ENDING and not path.is_dir():
            return cls(*read_model(path), separation=separation, device=device)
        config, variables = load_model(path, which)
        return cls(config, variables, load_level(path), separation=separation, device=device)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save it as a checkpoint in a new folder, or with published names in a `.safetensors` file.

        `load` takes both, `madsep separate` a folder. Raises InputError where the folder holds anything, the system has
        no published names, or the place cannot be written to.
        """
        path = Path(path)
        if path.suffix == ENDING:
            write_model(path, self.config, jax.device_get(self.variables), self.training_level)
        else:
            save_model(path, self.config, self.variables, self.training_level)

    def __repr__(self) -> str:
        return f"Separator({system_name(self.config)}, {self.config.signal.sample_rate} Hz)"

    def separate(
        self,
        song: np.ndarray | str | os.PathLike[str],
        sample_rate: int | None = None,
        *,
        on_progress: OnProgress = ignore,
    ) -> Stems:
        """Return voice and accompaniment of a whole song, of its own length, rate and channels.

        >>> separator = Separator.load("runs/quick-embedded/rows/mad-seed0", device="cpu")
        >>> stems = separator.separate("song.wav")
        >>> sorted(stems.write("separated/song"))
        ['accompaniment', 'vocals']

        Args:
            song: samples (N, channels), ±1 being full scale, or int16; or a file of any format that FFmpeg reads.
            sample_rate: of the samples, Hz; a file has its own.
            on_progress: called with the seconds of the song that are done, and with all that it has.

        Raises:
            InputError: the file cannot be read, or a package for that is not installed (`madsep-jax[audio]`).
            ValueError: samples that are not finite ones (N, channels), or that come without a rate.
        """
        missing: tuple[Missing, ...] = ()
        if isinstance(song, str | os.PathLike):
            audio = read_audio(song)
            mixture_NC, rate, missing = audio.samples_NC, audio.sample_rate, audio.missing
        elif sample_rate is None:
            raise ValueError("sample_rate: found none, expected that of the samples in Hz")
        else:
            mixture_NC, rate = as_song(song), sample_rate

        def tell(samples: int) -> None:
            on_progress(samples / rate, len(mixture_NC) / rate)

        how = self.how([mixture_NC])
        found = separate(self._computed, self.variables, mixture_NC, rate, how=how, on_piece=tell)
        return Stems(*found, rate, missing)

    def separate_file(
        self,
        song: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        *,
        format: Format = "wav",
        subtype: str | None = None,
        bitrate: int | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
        on_progress: OnProgress = ignore,
    ) -> SeparatedFile:
        """Separate a file into the files `vocals` and `accompaniment` of a folder, in memory that does not grow.

        The files are those of `madsep separate`, with the song's tags, and replace what is there. The song is read
        twice, the first time for its level.

        >>> separator = Separator.load("runs/quick-embedded/rows/mad-seed0")
        >>> done = separator.separate_file("song.wav", "separated", on_progress=lambda done_s, all_s: None)
        >>> done.files["vocals"].as_posix(), done.missing
        ('separated/vocals.wav', ())

        Args:
            song: a file of any format that FFmpeg reads.
            folder: of the results, which is made where there is none.
            format: of the files: wav, flac, mp3 or ogg.
            subtype: libsndfile's name of the sample format; by default like the song's, at least 16 bits.
            bitrate: of mp3 and ogg, kbit/s; by default the best.
            start_s: what to leave out of the song, from its beginning.
            duration_s: how much to separate; None: to the song's end.
            on_progress: as of `separate`.

        Raises:
            InputError: the song cannot be read, the folder does not take the files, or a package for them is not
                installed.
        """
        folder = Path(folder)
        places = {stem: folder / f"{stem}.{format}" for stem in STEMS}
        how: dict[str, Any] = {"format": format, "subtype": subtype, "bitrate": bitrate}
        plan = song_file(Path(song), folder, places, start_s=start_s, duration_s=duration_s, **how)
        return separate_file(plan, self, on_progress)

    def stream(
        self, blocks_NC: Iterable[np.ndarray], sample_rate: int, *, how: How | None = None, sequences: int = 1
    ) -> Iterator[Separated]:
        """Separate a song that does not fit into memory, or has not arrived yet: pieces out as blocks come in.

        The pieces are what `separate` returns of the whole song. Each is yielded before any block is asked for that it
        does not need: within the `latency`. (The first waits for the compiler, too.)

        A song's level, and whether its channels cancel, is known only at its end. So by default it keeps the level at
        which it comes, and its channels share one mask; the mask's limit is as in `separate`. Where more is known, say
        `how`: `separator.how(blocks_NC)`, from a first pass, gives the result of `separate`.

        >>> import numpy as np
        >>> separator = Separator.load("runs/quick-embedded/rows/mad-seed0")
        >>> song_NC = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)).astype(np.float32)
        >>> blocks = np.array_split(song_NC, 10)
        >>> pieces = [piece.voice_NC for piece in separator.stream(blocks, 8000, how=separator.how(blocks))]
        >>> bool(np.allclose(np.concatenate(pieces), separator.separate(song_NC, 8000).voice_NC, atol=1e-5))
        True

        Args:
            blocks_NC: samples (N, channels) as of `separate`, in blocks of any lengths.
            sample_rate: Hz.
            how: by which gain and which masks.
            sequences: how many the model gets at once: more of them are faster, and the latency is longer.

        Raises:
            ValueError: at a block that is not as of `separate`.
        """
        how = how or How(mask_limit=self.separation.mask_limit)
        settings: dict[str, Any] = {"how": how, "sequences_per_block": sequences, "at_once": True}
        for piece in separate_blocks(self._computed, self.variables, blocks_NC, sample_rate, **settings):
            if len(piece.voice_NC):
                yield piece

    def pieces(self, blocks_NC: Iterable[np.ndarray], sample_rate: int, how: How) -> Iterator[Separated]:
        """Separate a song in blocks as fast as can be: what `stream` yields, in larger pieces, which come later."""
        return separate_blocks(self._computed, self.variables, blocks_NC, sample_rate, how=how)

    def latency(self, sample_rate: int | None = None, sequences: int = 1) -> Latency:
        """Return the latency of `stream` for a rate in Hz; None for the model's own.

        >>> from madsep_jax import GruMaskerConfig, RunConfig
        >>> Separator(RunConfig(masker=GruMaskerConfig()), {}).latency()
        Latency(frames=55, samples=20865, seconds=0.473...)
        """
        return latency_of(self.config, sample_rate or self.config.signal.sample_rate, sequences)

    def how(self, blocks_NC: Iterable[np.ndarray]) -> How:
        """Return how a song is separated, after one pass over its blocks (N, channels)."""
        return self.how_of(Survey(map(as_song, blocks_NC)))

    def how_of(self, survey: Survey) -> How:
        """Return how the song is separated of which a survey has found this."""
        return how_to_separate(survey, self.separation, self.training_level)
