"""The data sets by name, as TFDS builders. Importing this imports TensorFlow."""

from data_pipelines.builders.dsd100 import Dsd100
from data_pipelines.builders.embedded import Embedded
from data_pipelines.builders.musdb18 import Musdb18
from data_pipelines.builders.musdb18hq import Musdb18Hq
from data_pipelines.builders.song_builder import SongBuilder, SongConfig
from data_pipelines.builders.stems_folder import StemsFolder

BUILDERS: dict[str, type[SongBuilder]] = {
    "dsd100": Dsd100,
    "musdb18hq": Musdb18Hq,
    "musdb18": Musdb18,
    "stems_folder": StemsFolder,
    "embedded": Embedded,
}

__all__ = ["BUILDERS", "Dsd100", "Embedded", "Musdb18", "Musdb18Hq", "SongBuilder", "SongConfig", "StemsFolder"]
