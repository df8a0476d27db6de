"""The songs that a page plays: which, the sound of each source as it is kept, and a picture of its spectrogram."""

import base64
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from experiments.pages.folder import VOICE, ResultsFolder, Scored
from experiments.scoring.excerpts import MIXTURE, KeptSong, kept_files, kept_songs
from madsep_jax.audio import read_audio

_TRUE = "true source"

#: Seconds of a spectrum, least frequency (Hz), size of a picture, and the range of its colours (dB).
_WINDOW_S, _LOWEST_HZ, _ROWS, _COLUMNS, _RANGE_DB = 0.046, 80.0, 128, 600, 70.0


@dataclass(frozen=True)
class Sound:
    """One source of an excerpt, as the page holds it."""

    who: str
    """The system, or the mixture, or what is true."""
    part: str
    """Of what: vocals, accompaniment, …; empty for the mixture."""
    audio: str
    """A data: URI."""
    picture: str
    """A data: URI of its spectrogram."""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.who}, {self.part}" if self.part else self.who

    @property
    def size(self) -> int:
        """Characters on the page."""
        return len(self.audio) + len(self.picture)


@dataclass
class Player:
    """One song that is played."""

    song: KeptSong
    why: str
    """Which of the songs it is."""
    sounds: list[Sound] = field(default_factory=list)
    ticks: list[tuple[str, float]] = field(default_factory=list)
    """Frequencies, and where they are in a spectrogram, in percent from below."""
    seconds: float = 0.0

    @property
    def who(self) -> list[str]:
        """Return whose sounds there are."""
        return list(dict.fromkeys(sound.who for sound in self.sounds))

    @property
    def parts(self) -> list[str]:
        """Return of what there are sounds."""
        return list(dict.fromkeys(sound.part for sound in self.sounds if sound.part))


@dataclass(frozen=True)
class Listening:
    """What a folder lets be heard."""

    players: list[Player] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Systems whose sound would make the page too large."""


def listen(folder: ResultsFolder, most: int) -> Listening:
    """Return the players of a folder, whose sounds have at most so many characters.

    The songs are those with the median, the greatest and the least difference in SDR of a pair of systems: the first
    one that was compared, else the first two; of a single system those with the median, best and worst SDR.
    """
    kept = kept_songs(folder.true_excerpts)
    systems = {name: seeds for name, seeds in folder.systems.items() if any(_has_sound(one) for one in seeds)}
    trained = [name for name, seeds in systems.items() if seeds[0].is_trained]
    if not kept or not systems:
        return Listening()
    pair = pair_of(folder, trained)
    players = [Player(song, why) for song, why in _choose(folder, pair, trained or list(systems), kept)]
    pictures = {player.song.track: _Pictures(player) for player in players}
    room = most
    for player in players:
        for part, path in sorted(player.song.files.items(), key=lambda item: item[0] != MIXTURE):
            sound = _sound(pictures[player.song.track], MIXTURE if part == MIXTURE else _TRUE, part, path)
            player.sounds.append(sound)
            room -= sound.size
    left_out = []
    for name in dict.fromkeys([*(pair or ()), *systems]):
        if name == MIXTURE:  # which is there already
            continue
        of_system = [(player, sound) for player in players for sound in _of_system(player, systems[name], pictures)]
        size = sum(sound.size for _, sound in of_system)
        if size > room:
            left_out.append(name)
            continue
        room -= size
        for player, sound in of_system:
            player.sounds.append(sound)
    return Listening(players, left_out)


def _has_sound(scored: Scored) -> bool:
    return any((scored.place / "excerpts").glob("*/*.ogg"))


def pair_of(folder: ResultsFolder, trained: Sequence[str]) -> tuple[str, str] | None:
    """Return two of these systems, A and B of A - B: the first that were compared, else the second and the first."""
    compared = [*folder.content.get("differences", ()), *folder.content.get("comparisons", ())]
    pairs = [(one["a"], one["b"]) for one in compared] + [(b, a) for a, b in itertools.combinations(trained, 2)]
    return next((pair for pair in pairs if set(pair) <= set(trained)), None)


def mean_by_song(seeds: Sequence[Scored], metric: str = "SDR", target: str = VOICE) -> dict[str, float]:
    """Return the score of each song in dB, the mean of the seeds; only of songs that all of them have scores of."""
    of_seeds = [one.songs.get(target, {}).get(metric, {}) for one in seeds if one.songs]
    songs = [song for song in of_seeds[0] if all(song in one for one in of_seeds)] if of_seeds else []
    return {song: float(np.mean([one[song] for one in of_seeds])) for song in songs}


def _choose(
    folder: ResultsFolder, pair: tuple[str, str] | None, systems: Sequence[str], kept: Mapping[str, KeptSong]
) -> Iterator[tuple[KeptSong, str]]:
    """Yield songs, and why they are chosen."""
    by_track = {song.track: song for song in kept.values()}
    if pair:
        a, b = (mean_by_song(folder.systems[name]) for name in pair)
        value = {song: a[song] - b[song] for song in a if song in b}
        what = f"difference {pair[0]} − {pair[1]}"
    else:
        value = mean_by_song(folder.systems[systems[0]])
        what = f"song of {systems[0]}"
    ordered = sorted((song for song in value if song in by_track), key=lambda song: value[song])
    if not ordered:
        yield from ((song, "") for song in list(kept.values())[:3])
        return
    chosen = {"median": ordered[len(ordered) // 2], "best": ordered[-1], "worst": ordered[0]}
    for song in dict.fromkeys(chosen.values()):
        names = " and ".join(name for name, one in chosen.items() if one == song)
        shown = f"{value[song]:+.2f}".replace("-", "−")
        yield by_track[song], f"{names} {what}: {shown} dB SDR"


def _of_system(player: Player, seeds: Sequence[Scored], pictures: Mapping[str, "_Pictures"]) -> Iterator[Sound]:
    """Yield the sounds of a system: those of its first seed that has some."""
    song = next(iter(player.song.files.values())).parent.name
    for one in seeds:
        if files := kept_files(one.place / "excerpts" / song):
            yield from (_sound(pictures[player.song.track], one.system, part, path) for part, path in files.items())
            return


def _sound(pictures: "_Pictures", who: str, part: str, path: Path) -> Sound:
    audio = data_uri("audio/ogg", path.read_bytes())
    return Sound(who, "" if who == MIXTURE else part, audio, pictures.of(path))


def data_uri(kind: str, content: bytes) -> str:
    """Return what holds a file in a page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class _Pictures:
    """Spectrograms of the sources of one song, on one scale: up to the mixture's greatest magnitude."""

    def __init__(self, player: Player) -> None:
        self._player, self._top_db = player, -np.inf

    def of(self, path: Path) -> str:
        """Return the picture of a file, whose frequency axis is logarithmic, as a data: URI; the mixture's first."""
        from matplotlib.image import imsave

        audio = read_audio(path)
        magnitude_RC = _log_spectrogram(audio.samples_NC.mean(1), audio.sample_rate)
        level_db = 20 * np.log10(np.maximum(magnitude_RC, 1e-9))
        if not self._player.ticks:
            self._player.ticks = _ticks(audio.sample_rate)
            self._player.seconds = len(audio.samples_NC) / audio.sample_rate
        self._top_db = self._top_db if np.isfinite(self._top_db) else max(float(level_db.max()), -100.0)
        shade = np.clip((level_db - self._top_db) / _RANGE_DB + 1, 0, 1)
        file = io.BytesIO()
        imsave(file, shade, cmap="magma", vmin=0, vmax=1, format="jpeg", pil_kwargs={"quality": 70})
        return data_uri("image/jpeg", file.getvalue())


def _log_spectrogram(samples_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the greatest magnitudes within each row and column of the picture, the highest row first."""
    size = 2 ** round(np.log2(_WINDOW_S * sample_rate))
    hop = max(len(samples_N) // _COLUMNS, 1)
    padded = np.pad(samples_N, (size // 2, size))
    frames_TN = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:_COLUMNS]
    magnitude_TF = np.abs(np.fft.rfft(frames_TN * np.hanning(size).astype(np.float32)))
    edges_hz = np.geomspace(_LOWEST_HZ, sample_rate / 2, _ROWS + 1)
    first = np.floor(edges_hz[:-1] / sample_rate * size).astype(int)
    last = np.ceil(edges_hz[1:] / sample_rate * size).astype(int)
    rows = [magnitude_TF[:, low : max(high, low + 1)].max(1) for low, high in zip(first, last, strict=True)]
    return np.array(rows[::-1])


def _ticks(sample_rate: int) -> list[tuple[str, float]]:
    """Return frequencies for the axis, and where they are, in percent from below."""
    whole = np.log(sample_rate / 2 / _LOWEST_HZ)
    shown = [hz for hz in (100, 200, 500, 1000, 2000, 5000, 10000, 20000) if hz < sample_rate / 2 * 0.9]
    names = [f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz" for hz in shown]
    return [(name, 100 * float(np.log(hz / _LOWEST_HZ) / whole)) for name, hz in zip(names, shown, strict=True)]
