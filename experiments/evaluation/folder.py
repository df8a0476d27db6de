"""The folder of an evaluation: the scores of each system and song, in the places where museval's aggregator looks."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.songs.tracks import Track, safe_name
from experiments.evaluation.options import EvaluateOptions
from experiments.scoring import song_scores
from experiments.scoring.song_scores import SongScores
from madsep_jax.errors import InputError
from madsep_jax.host.files import read_json, write_json

_IDENTITY = "evaluation.json"


class EvaluationFolder:
    """`scores/SYSTEM/test/SONG.json`: museval's `EvalStore.add_eval_dir` reads `scores/SYSTEM`."""

    def __init__(self, options: EvaluateOptions, tracks: Sequence[Track]) -> None:
        """Check that the folder is, or can become, one of this evaluation.

        Args:
            options: of the command.
            tracks: the songs.

        Raises:
            InputError: it holds something else.
        """
        self.path = options.folder
        songs = hashlib.sha256("\n".join(f"{track.name}/{track.fingerprint()}" for track in tracks).encode())
        self._identity = {
            "protocol": options.protocol,
            "targets": options.targets,
            "split": options.split,
            "songs": songs.hexdigest()[:16],
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
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise InputError(f"--out {self.path}: found other files, expected an empty folder or one of this command")

    def create(self) -> None:
        """Write down what the folder is for."""
        write_json(self.path / _IDENTITY, self._identity)

    def file(self, system: str, track: Track) -> Path:
        """Return where a song's scores are kept; museval takes the song's name from the file's."""
        return self.path / "scores" / system / "test" / f"{safe_name(track.name)}.json"

    def systems(self) -> list[str]:
        """Return the systems that have scores, by name."""
        return sorted(path.name for path in (self.path / "scores").glob("*") if any(path.glob("test/*.json")))

    def scores(self, system: str) -> list[SongScores]:
        """Return all scores of a system."""
        files = sorted((self.path / "scores" / system / "test").glob("*.json"))
        return [song_scores.read(path) for path in files]
