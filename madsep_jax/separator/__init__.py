"""A trained separator in a few lines: songs in, as arrays, files or streams, voice and accompaniment out."""

from madsep_jax.separator.latency import Latency
from madsep_jax.separator.separator import Separator
from madsep_jax.separator.stems import Stems

__all__ = ["Latency", "Separator", "Stems"]
