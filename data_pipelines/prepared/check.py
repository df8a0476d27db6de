"""Whether a prepared set is whole."""

from collections.abc import Callable
from pathlib import Path

from data_pipelines.prepared.index import SetIndex
from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.shard import ANEW, open_shard
from madsep_jax.audio import shown
from madsep_jax.errors import InputError


def check_set(
    folder: Path, index: SetIndex, split: str, every_record: bool, on_track: Callable[[TrackFacts], object]
) -> None:
    """Check the shards of a split: that each is there and has its records, and, if asked to, that each can be read.

    Raises:
        InputError: naming the first shard that is missing, cut short or damaged.
    """
    for path, facts in zip(index.shard_paths(folder, split), index.split(split), strict=True):
        check_shard(path, facts, every_record)
        on_track(facts)


def check_shard(path: Path, facts: TrackFacts, every_record: bool) -> None:
    """Check one shard. Raises InputError where it is not as it was written."""
    reader = open_shard(path)
    found = reader.num_records()
    if found != facts.records:
        raise InputError(f"{shown(path)}: {found} records, expected {facts.records} of {shown(facts.name)}; {ANEW}")
    for number in range(found if every_record else 0):
        read_record(reader, path, number)


def read_record(reader: object, path: Path, number: int) -> bytes:
    """Return a record; ArrayRecord compares its checksum. Raises InputError where it is damaged."""
    try:
        return reader.read([number])[0]  # type: ignore[attr-defined]
    except (RuntimeError, ValueError, IndexError):
        raise InputError(f"{shown(path)}: record {number} is damaged, expected it as it was written; {ANEW}") from None
