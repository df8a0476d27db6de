"""What all builders share: songs become the shards of a TFDS data set, a track a shard."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from data_pipelines.prepared.index import SetIndex, by_split
from data_pipelines.prepared.records import Example, TrackFacts, read_samples
from data_pipelines.prepared.runners import Runner, run_here
from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.prepared.shard import ShardJob, tfds_features
from data_pipelines.songs.found import FoundSongs
from data_pipelines.songs.tracks import Track
from data_pipelines.tfds_cpu import tfds
from madsep_jax.config.io import to_dict

#: The format of the sets that are trained from: records can be read in any order.
ARRAY_RECORD = tfds.core.FileFormat.ARRAY_RECORD


@dataclasses.dataclass(eq=False, kw_only=True)
class SongConfig(tfds.core.BuilderConfig):
    """A form of the features."""

    settings: FeatureSettings = dataclasses.field(default_factory=FeatureSettings)

    @classmethod
    def of(cls, settings: FeatureSettings) -> "SongConfig":
        """Return the config of these settings."""
        kind = "Samples" if settings.features == "waveform" else "Magnitudes"
        description = f"{kind} of mixture and voice, {settings.dtype}, sequences of {settings.sequences.frames} frames."
        return cls(name=settings.config_name, description=description, settings=settings)


class SongBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Base of the builders; a subclass says where the songs are, and what a person must know of them.

    As ArrayRecord files (`file_format="array_record"`), which the training reads, shards are written by `runner`; in
    TFDS's other formats as TFDS writes them.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}
    BUILDER_CONFIGS: ClassVar = [
        SongConfig.of(FeatureSettings()),
        SongConfig.of(FeatureSettings(dtype="float16")),
        SongConfig.of(FeatureSettings(features="waveform", dtype="int16")),
    ]

    DESCRIPTION: str
    HOMEPAGE: str | None = None
    CITATION: str | None = None
    LICENSE: str
    find_in: Callable[[Path], FoundSongs]
    """Finds the songs in the folder that a person has made as the instructions say; where there is such a folder."""

    runner: Runner = staticmethod(run_here)

    @classmethod
    def of(cls, settings: FeatureSettings, data_dir: Path) -> "SongBuilder":
        """Return the builder of the sets that are trained from, for any settings."""
        name = settings.config_name
        config = name if name in cls.builder_configs else SongConfig.of(settings)
        return cls(data_dir=data_dir, config=config, file_format=ARRAY_RECORD)

    def find_songs(self, manual_dir: Path | None) -> FoundSongs:
        """Return the songs, good and bad. Raises InputError where the folder is not as the instructions say."""
        assert manual_dir is not None
        return self.find_in(manual_dir)

    @property
    def settings(self) -> FeatureSettings:
        """Form of the features."""
        return self.builder_config.settings

    def jobs(self, tracks: Sequence[Track], folder: Path, facts_folder: Path) -> list[ShardJob]:
        """Return what writes the shards of these tracks into a folder."""
        jobs = []
        for split, its_tracks in by_split(tracks).items():
            template = self._get_filename_template(split).replace(data_dir=folder)
            for number, track in enumerate(its_tracks):
                path = Path(template.sharded_filepath(shard_index=number, num_shards=len(its_tracks)))
                jobs.append(ShardJob(track, self.settings, path, facts_folder / f"{split}-{number:05d}.json"))
        return jobs

    def describe(self, folder: Path, tracks: Sequence[TrackFacts], left_out: Sequence[str] = ()) -> None:
        """Set what the data set's info says, once all shards are in a folder; `left_out` are lines about bad songs."""
        index = SetIndex(self.name, self.settings, tracks, left_out)
        infos = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[track.records for track in its_tracks],
                num_bytes=sum(path.stat().st_size for path in index.shard_paths(folder, split)),
                filename_template=self._get_filename_template(split),
            )
            for split, its_tracks in by_split(tracks).items()
        ]
        self.info.set_splits(tfds.core.SplitDict(infos))
        self.info.metadata.update(index.content())

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=tfds_features(self.settings),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            license=self.LICENSE,
            metadata=tfds.core.MetadataDict(settings=to_dict(self.settings)),
            disable_shuffling=True,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        if self.info.file_format != ARRAY_RECORD:
            super()._download_and_prepare(dl_manager, download_config)
            return
        folder = Path(self.data_dir)  # TFDS's own folder of unfinished work
        jobs = self.jobs(self._tracks(dl_manager), folder, folder / "facts")
        facts = dict(self.runner(list(enumerate(jobs))))
        self.describe(folder, [facts[number] for number in range(len(jobs))])
        for job in jobs:
            job.facts_path.unlink()
        (folder / "facts").rmdir()

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[str, Example]]]]]:
        return {
            split: [functools.partial(_keyed_examples, track, self.settings) for track in its_tracks]
            for split, its_tracks in by_split(self._tracks(dl_manager)).items()
        }

    def _tracks(self, dl_manager: Any) -> list[Track]:
        """Return the songs that have sequences, in the order of their shards."""
        manual_dir = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        songs = self.find_songs(manual_dir).without_bad(skip=False)
        return [track for track in songs.tracks if estimated_records(track, self.settings)]


def estimated_records(track: Track, settings: FeatureSettings) -> int:
    """Return the records of a track by its header; right but for formats whose headers are not."""
    return settings.records_of(round(track.duration_s * settings.signal.sample_rate))


def _keyed_examples(track: Track, settings: FeatureSettings) -> Iterator[tuple[str, Example]]:
    samples = read_samples(track, settings)
    for number, example in enumerate(samples.examples()):
        yield f"{track.name}/{number:06d}", example
