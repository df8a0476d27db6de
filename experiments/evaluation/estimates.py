"""Files of separated songs: which are taken for what, whether they can be scored, and their samples."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.songs.contents import content_of, frames_of
from data_pipelines.songs.names import PARTS, ROLES, composed, rank
from data_pipelines.songs.tracks import Track, TrackAudio, fingerprint_of, safe_name
from experiments.evaluation.estimate_names import by_name, by_pattern, sounds_in, without_doubtful
from madsep_jax.audio import probe_audio, read_audio
from madsep_jax.errors import InputError, shown, some_of
from madsep_jax.host.files import reading

#: How many folders lie within each other at most.
_DEPTH = 5

#: In place of what is not there.
REST = "mixture - vocals"


class EstimateFolder:
    """The files of one system."""

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        songs: Sequence[str],
        on_length: Callable[[str], None],
        pattern: str = "",
        others: Sequence[str] = (),
    ) -> None:
        """Find the files of the songs; `on_length` is told of files of another length.

        `pattern` has {song} and {stem}, and * for any text, as a path within the folder; `others` are songs that are
        not asked for, whose files may be there. Raises InputError where the folder is not there or cannot be read, or
        the pattern is none.
        """
        if not folder.is_dir():
            raise InputError(f"{shown(folder)}: no such folder, expected one of separated songs")
        self.folder, self.targets, self._on_length = folder, tuple(targets), on_length
        with reading(folder, "a folder of separated songs"):
            paths = list(sounds_in(folder, _DEPTH))
        known = list(dict.fromkeys([*songs, *others]))
        find = by_pattern(pattern, known) if pattern else by_name(known)
        found = [file for path in paths if (file := find(path, path.relative_to(folder)))]
        found, doubtful = without_doubtful(found)
        self._files, self._doubtful = ([one for one in them if one.song in songs] for them in (found, doubtful))
        self._others = len(paths) - len(self._files)  # of none of the songs, or without a source in their names
        self._hint = f" by --estimate-name {pattern}" if pattern else ""

    def files(self, track: Track) -> dict[str, list[Path]]:
        """Return the files whose sum is each target; none for what is mixture - vocals.

        Raises InputError where the song, or a target of it, is not there, or two files are as likely.
        """
        stems = self._stems(track)
        found: dict[str, list[Path]] = {}
        for target in self.targets:
            if target in stems:
                found[target] = [stems[target]]
            elif target == "accompaniment":
                found[target] = _accompaniment(stems)
            else:
                inside = ", ".join(shown(path.name) for path in stems.values()) or "no file"
                if doubtful := [file.path for file in self._doubtful if file.song == track.name]:
                    names = some_of([shown(path.relative_to(self.folder)) for path in doubtful])
                    inside += f" ({names} is not named as the other songs are: of another one?)"
                expected = f"expected {target}.wav (or another sound file, or --estimate-name)"
                raise InputError(f"{shown(self.folder / track.name)}: found {inside}{self._hint}, {expected}")
        return found

    def taken(self, track: Track) -> dict[str, str]:
        """Return in words, for each target, which files are taken, "SONG" standing for the song's name."""
        return {
            target: " + ".join(self._words(path, track) for path in paths) or REST
            for target, paths in self.files(track).items()
        }

    def unused(self, tracks: Sequence[Track]) -> list[str]:
        """Return lines about files that are not used: of these songs, of which each has passed `check`, or of none."""
        lines: Counter[str] = Counter()
        for track in tracks:
            taken = {path for paths in self.files(track).values() for path in paths}
            ours = [file.path for file in self._files if file.song == track.name and file.path not in taken]
            lines.update(self._words(path, track) for path in ours)
        found = [f"{what} of {count} songs: not used" for what, count in lines.items()]
        if self._others:
            found.append(f"{self._others} sound files: not used, of no song or source that is scored")
        return [f"{shown(self.folder)}: {line}" for line in found]

    def check(self, track: Track) -> None:
        """Read the files once, now or before.

        Raises InputError where one is missing, no sound, of another rate or number of channels than the song, or holds
        samples that are not finite.
        """
        for paths in self.files(track).values():
            for path in paths:
                info = probe_audio(path)
                _require_fit(path, info.sample_rate, info.channels, track.sample_rate, track.channels)
        self.fingerprint(track)

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when a file of the song does."""
        found = self.files(track)
        paths = [path for of_target in found.values() for path in of_target]
        counts = " ".join(f"{target}:{len(of_target)}" for target, of_target in found.items())
        return fingerprint_of(f"{counts} {content_of(paths, lambda: [frames_of(path) for path in paths])}")

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Return the estimates (N, C) by target.

        Files that are shorter than the song end in silence, longer ones are cut, as museval does. Raises InputError
        where a file cannot be read, or is of another rate or number of channels than the song.
        """
        found = {target: [self._read(path, audio) for path in paths] for target, paths in self.files(track).items()}
        estimates = {target: np.sum(parts, axis=0) for target, parts in found.items() if parts}
        if "accompaniment" in found and "accompaniment" not in estimates:
            estimates["accompaniment"] = np.float64(audio.mixture_NC) - estimates["vocals"]
        return {target: estimates[target] for target in self.targets}

    def _words(self, path: Path, track: Track) -> str:
        place = composed(path.relative_to(self.folder).as_posix())
        for name in (track.name, safe_name(track.name)):
            place = place.replace(name, "SONG")
        return shown(place)

    def _stems(self, track: Track) -> dict[str, Path]:
        """Return the file of each source of a song: that with the least beside its name, and of these a wav first."""
        found: dict[str, Path] = {}
        ordered = sorted((file for file in self._files if file.song == track.name), key=lambda file: file.words)
        for stem in dict.fromkeys(file.stem for file in ordered):
            ours = [file for file in ordered if file.stem == stem]
            ours = sorted((file for file in ours if file.words == ours[0].words), key=lambda file: rank(file.path))
            first = ours[0].path
            for other in (file.path for file in ours):
                if other.with_suffix("") != first.with_suffix("") and rank(other)[0] == rank(first)[0]:
                    names = f"{shown(first.relative_to(self.folder))} and {shown(other.relative_to(self.folder))}"
                    raise InputError(
                        f"{shown(self.folder)}: found {names} for the {stem} of {shown(track.name)}, expected one of "
                        f"them, or --estimate-name"
                    )
            found[stem] = first
        return found

    def _read(self, path: Path, audio: TrackAudio) -> np.ndarray:
        found = read_audio(path, strict=True)
        samples, channels = audio.mixture_NC.shape
        _require_fit(path, found.sample_rate, found.samples_NC.shape[1], audio.sample_rate, channels)
        if more := len(found.samples_NC) - samples:
            what = "longer than the song: cut" if more > 0 else "shorter than the song: silence added"
            self._on_length(f"{shown(path)}: {abs(more)} samples {what}")
        return np.pad(found.samples_NC[:samples].astype(np.float64), ((0, max(-more, 0)), (0, 0)))


def _require_fit(path: Path, sample_rate: int, channels: int, song_rate: int, song_channels: int | None) -> None:
    if sample_rate != song_rate:
        raise InputError(f"{shown(path)}: found {sample_rate} Hz, expected {song_rate} Hz, the song's")
    if song_channels not in (channels, None):
        raise InputError(f"{shown(path)}: found {channels} channels, expected {song_channels}, the song's")


def _accompaniment(stems: Mapping[str, Path]) -> list[Path]:
    """Return the files whose sum is an accompaniment: all parts, or `other` where it alone stands beside the voice."""
    parts = [stem for stem in stems if stem not in ROLES]
    if set(PARTS) <= set(parts) or parts == ["other"]:
        return [stems[part] for part in parts]
    return []
