"""One shard of a prepared set: the records of one track in an ArrayRecord file. Whether all shards are whole."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.prepared.records import Example, TrackFacts, read_samples
from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.songs.tracks import Track
from madsep_jax.errors import InputError, shown
from madsep_jax.host.files import read_json, write_json, written_aside

#: Records are found one by one, and are not compressed: noise-like bytes hardly shrink, and reading stays fast.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_READER_OPTIONS = "readahead_buffer_size:0"
_READER_BUFFER = 2**15


@dataclass(frozen=True)
class ShardJob:
    """What is to be written, and where; it can be sent to another process."""

    track: Track
    settings: FeatureSettings
    path: Path
    facts_path: Path
    """Beside the shards: what is known of this one, written last; with it the job is done."""

    def finished(self) -> TrackFacts | None:
        """Return the facts where the job has been done, for the track as it is now."""
        try:
            content = read_json(self.facts_path)
            if content["fingerprint"] != self.track.fingerprint() or content["bytes"] != self.path.stat().st_size:
                return None
            return TrackFacts(**content["facts"])
        except (InputError, OSError, KeyError, TypeError):
            return None

    def run(self) -> TrackFacts:
        """Write the shard, whole or not at all, and return its facts.

        Raises InputError where the track cannot be used or is too short, or the disk does not take the shard.
        """
        fingerprint = self.track.fingerprint()
        samples = read_samples(self.track, self.settings)
        facts = samples.facts
        if not facts.records:
            raise InputError(f"{too_short(facts.name, facts.seconds, self.settings)}, expected a longer song")
        encode = example_encoder(self.settings)
        _write_records(self.path, (encode(example) for example in samples.examples()), facts.records)
        content = {"fingerprint": fingerprint, "bytes": self.path.stat().st_size, "facts": dataclasses.asdict(facts)}
        try:
            write_json(self.facts_path, content)
        except OSError as error:
            raise InputError(_not_written(self.facts_path, error.strerror or "")) from None
        return facts


def tfds_features(settings: FeatureSettings) -> Any:
    """Return the features of a record, a TFDS `FeaturesDict`."""
    from data_pipelines.tfds_cpu import tfds

    bytes_encoding = tfds.features.Encoding.BYTES  # arrays as they are in memory
    dtype = np.dtype(settings.dtype)
    arrays = {
        "mixture": tfds.features.Tensor(shape=settings.mix_shape, dtype=dtype, encoding=bytes_encoding),
        "voice": tfds.features.Tensor(shape=settings.voice_shape, dtype=dtype, encoding=bytes_encoding),
    }
    frames = {"frames": tfds.features.Tensor(shape=(2,), dtype=np.int32)} if settings.features == "waveform" else {}
    return tfds.features.FeaturesDict(
        {"track": tfds.features.Text(), "offset": tfds.features.Scalar(dtype=np.int64), **frames, **arrays}
    )


def example_encoder(settings: FeatureSettings) -> Callable[[Example], bytes]:
    """Return what makes the bytes of a record, a `tf.train.Example` as TFDS reads it.

    Its fields are in the order of their names: TFDS's own are in another one in each process.
    """
    from data_pipelines.tensorflow_cpu import tf

    features = tfds_features(settings)

    def encode(example: Example) -> bytes:
        message = tf.train.Example.FromString(features.serialize_example(example))
        return message.SerializeToString(deterministic=True)

    return encode


def is_short(seconds: float, settings: FeatureSettings) -> bool:
    """Whether a track does not fill the middle frames of one sequence."""
    return seconds < settings.sequences.target_frames / settings.signal.frames_per_second


def too_short(name: str, seconds: float, settings: FeatureSettings) -> str:
    """Return the line about such a track."""
    least = settings.sequences.target_frames / settings.signal.frames_per_second
    return f"{shown(name)}: {seconds:.2f} s, shorter than a sequence ({least:.2f} s)"


def open_shard(path: Path) -> Any:
    """Return an `ArrayRecordReader`. Raises InputError where the file is missing, cut short, or something else."""
    from array_record.python import array_record_module

    if not path.is_file():
        raise InputError(f"{shown(path)}: no such file, expected a shard of the set; {ANEW}")
    reader = array_record_module.ArrayRecordReader(
        os.fspath(path), options=_READER_OPTIONS, file_reader_buffer_size=_READER_BUFFER
    )
    if not reader.ok():
        raise InputError(f"{shown(path)}: is damaged or cut short, expected a whole ArrayRecord file; {ANEW}")
    return reader


#: What helps where a shard is missing or damaged.
ANEW = "`python -m experiments.prepare`, run again, writes it anew"


def _write_records(path: Path, records: Iterable[bytes], count: int) -> None:
    """Write the file aside, check that all records are in it, then rename it into place."""
    from array_record.python import array_record_module

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            # ArrayRecord's errors are RuntimeErrors; records are made in between, whose errors are not the disk's.
            writer = _of_disk(path, lambda: array_record_module.ArrayRecordWriter(os.fspath(aside), _WRITER_OPTIONS))
            for record in records:
                _of_disk(path, lambda record=record: writer.write(record))
            _of_disk(path, writer.close)
            if open_shard(aside).num_records() != count:
                raise InputError(_not_written(path, "not all of it was kept"))
            with aside.open("rb") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise InputError(_not_written(path, error.strerror or str(error))) from None


def _of_disk(path: Path, action: Any) -> Any:
    try:
        return action()
    except RuntimeError as error:
        reason = str(error).removeprefix("write() failed: ").partition(";")[0]
        raise InputError(_not_written(path, reason)) from None


def _not_written(path: Path, reason: str) -> str:
    return f"{shown(path)}: cannot be written ({reason}); what is finished stays, the same command continues"


def check_shard(path: Path, facts: TrackFacts, every_record: bool) -> None:
    """Check that a shard is there and has its records and, if asked to, that each can be read; raises InputError."""
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
