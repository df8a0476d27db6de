"""The songs of an experiment: the embedded corpus, or a folder."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from data_pipelines.embedded.songs import EmbeddedConfig, corpus, embedded_tracks
from data_pipelines.songs.found import FoundSongs, fault_of, left_out
from data_pipelines.songs.layouts import find_songs
from data_pipelines.songs.tracks import Track, fingerprint_of
from experiments.cli.console import Bar, make_console, say
from experiments.data.options import EMBEDDED, PrepareOptions
from experiments.data.prepared import PreparedTraining
from madsep_jax.errors import InputError
from madsep_jax.host.environment import cpu_cores

#: Songs that are read at a time.
_MOST_READERS = 8


@dataclass(frozen=True)
class Songs:
    """Which songs train and which are scored."""

    description: str
    train: list[Track]
    test: list[Track]
    prepared: PreparedTraining | None = None
    """Trained on in place of `train`."""
    validation: list[Track] = field(default_factory=list)
    """Scored during training, in place of being trained on."""

    @property
    def test_seconds(self) -> float:
        """Length of all songs that are scored."""
        return sum(track.duration_s for track in self.test)

    def fingerprint(self) -> str:
        """A text that changes when any song does."""
        lines = [f"{track.split}/{track.name}/{track.fingerprint()}" for track in self.train + self.test]
        lines += [f"validation/{track.name}/{track.fingerprint()}" for track in self.validation]
        lines += [self.prepared.fingerprint()] if self.prepared else []
        return fingerprint_of("\n".join(lines))


def songs_to_prepare(found: FoundSongs, options: PrepareOptions, console: Console) -> FoundSongs:
    """Return songs that are found, each read once; what is not used is said. Raises InputError as `load_songs`."""
    for line in found.lines():
        say(console, line)
    found = found.with_validation_list() if options.validation_split else found
    return read_through(found, console).apart().without_bad(options.skip_bad)


def songs_to_score(data: str, split: str, console: Console, *, apart: bool = False) -> FoundSongs:
    """Return the songs of one split, of what `load_songs` takes, good and bad; each is read once, now or before.

    With `apart` a song whose name is in train and in another split is bad. What is not used of the folder is said.
    Raises InputError where there are no songs of the split.
    """
    found = FoundSongs(embedded_tracks(EmbeddedConfig())) if data == EMBEDDED else find_songs(Path(data))
    wanted = found.of(split)
    if not (wanted.tracks or wanted.bad):
        raise InputError(f"--data {data}: found no {split} songs, expected at least one")
    for line in found.lines():
        say(console, line)
    if apart:
        twice = {one.name: one.line for one in replace(found, bad=()).apart(by_content=False).bad}
        wanted = wanted.checked(lambda track: twice.get(track.name, ""))
    return read_through(wanted, console)


def read_through(found: FoundSongs, console: Console) -> FoundSongs:
    """Read each song that has not been read before, with a bar; those that cannot be read become bad."""
    with Bar(console, "checking the songs", len(found.tracks)) as bar:
        workers = min(cpu_cores(), _MOST_READERS)
        return found.checked(lambda track: fault_of(track.fingerprint), workers, bar.advance)


def load_songs(
    data: str,
    sample_rate: int,
    trained_on: PreparedTraining | None = None,
    validation_songs: int = 0,
    *,
    validation_split: bool = False,
    skip_bad: bool = False,
    read: bool = True,
    console: Console | None = None,
) -> Songs:
    """Find the songs: `embedded`, made at the rate in Hz that the models need, or a folder in a known layout.

    Only songs to score are looked for where a prepared set is trained on. Of the training songs so many, the last ones
    by name, are kept for validation; with `validation_split` the songs of the folder's split `valid` are, or those of
    MUSDB18's list. What is not used of the folder is said. With `read` every song is read once, now or before.

    Raises:
        InputError: the folder or the set cannot be used, or has no songs to train on, to validate on or to score; a
            song is both trained on and scored; or songs are bad (all are named), and not to be skipped.
    """
    console = console or make_console(quiet=True)
    if data == EMBEDDED:
        found, place = FoundSongs(corpus(sample_rate)), "the embedded corpus"
    else:
        found, place = find_songs(Path(data)), Path(data).resolve().name
    for line in found.lines():
        say(console, line)
    if validation_split and not found.of("valid").names:
        found = found.with_validation_list()
    found = _wanted(found, trained_on is not None, validation_songs > 0, validation_split, console)
    found = (read_through(found, console) if read else found).apart(by_content=read).without_bad(skip_bad)
    train, test, validation = (
        [track for track in found.tracks if track.split == split] for split in ("train", "test", "valid")
    )
    for split, songs in (("training", train), ("test", test)):
        if not songs and not (trained_on and split == "training"):
            raise InputError(f"{data}: found no {split} songs, expected at least one")
    if validation_split:
        if not validation:
            expected = "has no songs in valid, nor any of MUSDB18's list, expected some"
            raise InputError(f"--validation-split: {data} {expected}")
    elif validation_songs >= len(train) + bool(trained_on):
        raise InputError(f"--validation-songs {validation_songs}: found {len(train)} training songs, expected more")
    else:
        train, validation = train[: len(train) - validation_songs], train[len(train) - validation_songs :]
    words = f"; {len(validation)} validation songs" if validation else ""
    bad = f"; {left_out(found.bad)}" if found.bad else ""
    if trained_on:
        trained_on.require_others(test + validation, by_content=read)
        description = f"{trained_on.description}; scored on {place} ({_words(test, 'test')}{words}{bad})"
        return Songs(description, [], test, trained_on, validation)
    description = f"{place} ({_words(train, 'training')}{words}; {_words(test, 'test')}{bad})"
    return Songs(description, train, test, validation=validation)


def _wanted(found: FoundSongs, prepared: bool, some: bool, split: bool, console: Console) -> FoundSongs:
    """Return the songs of the splits that are needed, and say of those of `valid` that they are not."""
    if not split and (others := found.of("valid").tracks):
        say(console, f"{len(others)} songs of the split valid: not used, --validation-split takes them")
    train = () if prepared and not (some or split) else ("train",)
    return found.of("test", *train, *(("valid",) if split else ()))


def _words(tracks: list[Track], kind: str) -> str:
    return f"{len(tracks)} {kind} songs, {sum(track.duration_s for track in tracks) / 60:.1f} min"
