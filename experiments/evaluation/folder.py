"""The folder of an evaluation: the scores of each system and song, in the places where museval's aggregator looks."""

import functools
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from data_pipelines.songs.tracks import Track, fingerprint_of, safe_name
from experiments.evaluation.options import EvaluateOptions
from experiments.evaluation.separators import Separator
from experiments.scoring import song_scores
from experiments.scoring.excerpts import ExcerptFolders
from experiments.scoring.score_song import references_of
from experiments.scoring.score_songs import OnSong, score_and_write, score_missing
from experiments.scoring.song_scores import SongScores
from madsep_jax.errors import InputError
from madsep_jax.host.files import clear_leftovers, read_json, write_json

_IDENTITY = "evaluation.json"


class EvaluationFolder:
    """`scores/SYSTEM/test/SONG.json`: museval's `EvalStore.add_eval_dir` reads `scores/SYSTEM`."""

    def __init__(self, options: EvaluateOptions, tracks: Sequence[Track]) -> None:
        """Check that the folder is, or can become, one of this evaluation. Raises InputError where it holds others."""
        self.path, self._options, self._tracks = options.folder, options, tracks
        self._identity = {
            "protocol": options.protocol,
            "targets": options.targets,
            "split": options.split,
            "songs": fingerprint_of("\n".join(f"{track.name}/{track.fingerprint()}" for track in tracks)),
        }
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {self.path}: found a file, expected a folder")
        if (self.path / _IDENTITY).is_file():
            found = read_json(self.path / _IDENTITY)
            different = [name for name, value in self._identity.items() if found.get(name) != value]
            if different:
                name = different[0]
                shown = "other songs" if name == "songs" else f"{name} {found.get(name)!r}"
                raise InputError(f"--out {self.path}: holds an evaluation of {shown}; choose another folder")
        elif self.path.is_dir() and any(not path.name.startswith(f".{_IDENTITY}.") for path in self.path.iterdir()):
            raise InputError(f"--out {self.path}: found other files, expected an empty folder or one of this command")

    def create(self) -> None:
        """Write down what the folder is for, and clear what killed processes have left in it."""
        write_json(self.path / _IDENTITY, self._identity)
        for place in (self.path, *(self.path / "scores").glob("*/test")):
            clear_leftovers(place)

    def systems(self) -> list[str]:
        """Return the systems that have scores, by name."""
        return sorted(path.name for path in (self.path / "scores").glob("*") if any(path.glob("test/*.json")))

    def scores(self, system: str) -> list[SongScores]:
        """Return the scores of a system, in the order of the songs."""
        paths = [self._path(system, track) for track in self._tracks]
        return [song_scores.read(path) for path in paths if path.is_file()]

    def _path(self, system: str, track: Track) -> Path:  # museval takes the song's name from the file's
        return self.path / "scores" / system / "test" / f"{safe_name(track.name)}.json"

    def score(self, system: str, separator: Separator, pool: Executor, on_song: OnSong) -> dict[str, Exception]:
        """Score every song that has no scores yet, or whose files have changed since.

        Returns what went wrong, by song; the others have their scores.
        """
        options, failed = self._options, dict[str, Exception]()
        path_of = functools.partial(self._path, system)
        places = self.path / "excerpts", self.path / "scores" / system / "excerpts"
        excerpts = None if options.no_excerpts else ExcerptFolders(*places)

        def inputs_of(track: Track) -> str:
            return fingerprint_of(f"{track.fingerprint()}/{separator.fingerprint(track)}")

        def is_scored(track: Track) -> bool:
            if not path_of(track).is_file():
                return False
            try:
                found = song_scores.read(path_of(track))
            except InputError:
                return False  # damaged: made again
            return (found.inputs, found.engine, found.protocol) == (inputs_of(track), options.engine, options.protocol)

        def begin(track: Track) -> Future[None]:
            inputs = inputs_of(track)  # of what is read, should it change meanwhile
            audio = track.read()
            song = path_of(track), track.name
            sources_NC = references_of(audio, options.targets), separator.read(track, audio)
            how = options.protocol, options.engine
            kept: dict[str, Any] = {"inputs": inputs, "taken": separator.taken(track)}
            if excerpts:
                kept["excerpt"] = excerpts.cut(track.name, audio.mixture_NC, *sources_NC, audio.sample_rate)
            return pool.submit(score_and_write, *song, *sources_NC, audio.sample_rate, *how, **kept)

        def on_failure(track: Track, error: Exception) -> None:
            path_of(track).unlink(missing_ok=True)  # scores of other files than there are now
            failed[track.name] = error
            on_song(track)

        score_missing(self._tracks, is_scored, begin, options.processes, on_song, on_failure)
        return failed
