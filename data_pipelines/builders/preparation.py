"""Preparing a set: shards are written in a folder of unfinished work, which becomes the set when all are there."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.builders.song_builder import SongBuilder, estimated_records
from data_pipelines.prepared.index import SetIndex, read_index
from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.runners import Runner
from data_pipelines.prepared.shard import ShardJob, check_shard, is_short, too_short
from data_pipelines.songs.found import BadSong, FoundSongs
from data_pipelines.songs.tracks import Track
from madsep_jax.errors import InputError, shown
from madsep_jax.host.locks import try_lock

OnTrack = Callable[[TrackFacts], object]


@dataclass(frozen=True)
class Preparation:
    """What is to be prepared, and where. `sketch` makes one."""

    builder: SongBuilder
    tracks: Sequence[Track]
    left_out: Sequence[str]
    """Lines about tracks that no sequence is cut from."""
    filled_up: Sequence[str]
    """Lines about tracks whose only sequence ends in silence."""
    bad: Sequence[BadSong] = ()
    """Songs that are left out as they cannot be used."""

    @property
    def folder(self) -> Path:
        """Where the set will be."""
        return Path(self.builder.data_dir)

    @property
    def records(self) -> int:
        """About the records of the set."""
        return sum(estimated_records(track, self.builder.settings) for track in self.tracks)

    @property
    def bytes(self) -> int:
        """About the size of the set."""
        return self.records * self.builder.settings.record_bytes

    @property
    def done(self) -> bool:
        """Whether the set is there already."""
        return self.folder.is_dir()

    def run(self, runner: Runner, on_track: OnTrack = lambda facts: None) -> SetIndex:
        """Prepare what is not yet prepared, and return the set's index. A set that is there is checked and mended.

        Raises InputError where a track cannot be used, the disk is full or does not take the files, the set is of other
        songs, or another process prepares it. What is finished stays.
        """
        try:
            return self._mend(runner, on_track) if self.done else self._build(runner, on_track)
        except OSError as error:
            where = error.filename or self.folder
            raise InputError(f"{shown(where)}: cannot be written ({error.strerror}); what is finished stays") from None

    def _build(self, runner: Runner, on_track: OnTrack) -> SetIndex:
        work = self.folder.with_name(f"{self.folder.name}.unfinished")
        shards = work / "shards"
        shards.mkdir(parents=True, exist_ok=True)
        with _locked(work):
            jobs = self.builder.jobs(self.tracks, shards, work / "facts")
            # what an interrupted process left half-written, or wrote for other songs
            for path in set(shards.iterdir()) - {job.path for job in jobs}:
                path.unlink()
            facts = {number: found for number, job in enumerate(jobs) if (found := job.finished())}
            for found in facts.values():
                on_track(found)
            left = [(number, job) for number, job in enumerate(jobs) if number not in facts]
            self._check_room(len(left) / max(len(jobs), 1))
            for number, found in runner(left) if left else ():
                facts[number] = found
                on_track(found)
            self.builder.describe(
                shards, [facts[number] for number in range(len(jobs))], [one.line for one in self.bad]
            )
            self.builder.info.write_to_directory(shards)
            shards.rename(self.folder)
        shutil.rmtree(work)
        return read_index(self.folder)

    def _mend(self, runner: Runner, on_track: OnTrack) -> SetIndex:
        """Check every record, and write the shards anew that are missing or damaged."""
        index = read_index(self.folder)
        work = self.folder.with_name(f"{self.folder.name}.unfinished")
        work.mkdir(exist_ok=True)
        with _locked(work):
            try:
                self._mend_shards(index, work, runner, on_track)
            finally:
                shutil.rmtree(work)
        return index

    def _mend_shards(self, index: SetIndex, work: Path, runner: Runner, on_track: OnTrack) -> None:
        jobs = self.builder.jobs(self.tracks, self.folder, work / "facts")
        if [(job.track.split, job.track.name) for job in jobs] != [(facts.split, facts.name) for facts in index.tracks]:
            raise InputError(f"{self.folder}: is of other songs than those found; delete it to prepare it again")
        broken: list[tuple[int, ShardJob]] = []
        for number, (job, facts) in enumerate(zip(jobs, index.tracks, strict=True)):
            try:
                check_shard(job.path, facts, every_record=True)
                on_track(facts)
            except InputError:
                broken.append((number, job))
        for number, found in runner(broken) if broken else ():
            if found != index.tracks[number]:
                raise InputError(f"{found.name}: is not as it was when the set was prepared; delete {self.folder}")
            on_track(found)

    def _check_room(self, share: float) -> None:
        needed, free = round(self.bytes * share), shutil.disk_usage(self.folder.parent).free
        if needed > free:
            raise InputError(f"{self.folder.parent}: {free / 1e6:,.1f} MB free, expected {needed / 1e6:,.1f} MB")


def sketch(
    builder: SongBuilder,
    manual_dir: Path | None,
    choose: Callable[[FoundSongs], FoundSongs] = lambda found: found.without_bad(skip=False),
) -> Preparation:
    """Find the songs, of which `choose` takes those to prepare. Raises InputError where none can be used."""
    settings = builder.settings
    tracks: list[Track] = []
    left_out: list[str] = []
    filled_up: list[str] = []
    songs = choose(builder.find_songs(manual_dir))
    for track in songs.tracks:
        records = estimated_records(track, settings)
        if records:
            tracks.append(track)
        if is_short(track.duration_s, settings):
            (filled_up if records else left_out).append(too_short(track.name, track.duration_s, settings))
    if not tracks:
        raise InputError(f"{left_out[0]}, and so are all others; expected longer songs")
    return Preparation(builder, tracks, left_out, filled_up, songs.bad)


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    with try_lock(work / "lock") as taken:
        if not taken:
            raise InputError(f"{shown(work)}: another process prepares this set")
        yield
