"""The data sets by name, as TFDS builders. Importing this imports TensorFlow."""

from data_pipelines.builders.sets import Dsd100, Embedded, Musdb18, Musdb18Hq, StemsFolder
from data_pipelines.builders.song_builder import SongBuilder, SongConfig

BUILDERS: dict[str, type[SongBuilder]] = {
    "dsd100": Dsd100,
    "musdb18hq": Musdb18Hq,
    "musdb18": Musdb18,
    "stems_folder": StemsFolder,
    "embedded": Embedded,
}

__all__ = ["BUILDERS", "Dsd100", "Embedded", "Musdb18", "Musdb18Hq", "SongBuilder", "SongConfig", "StemsFolder"]
