"""The embedded corpus: songs made from a seed, the same on every machine, with nothing to download.

Every song has the four stems of `data_pipelines.songs.tracks.STEMS`. The music (notes, syllables, timing) is drawn
first, in seconds, and is then rendered at any sample rate, so that quick experiments can run on the same songs
at a lower rate.

Array names end in their axes: N samples, C channels, J control frames, K partials, R resonances, Q noise
bands. `songs.py` is the place to start reading.
"""

from data_pipelines.embedded.songs import EmbeddedConfig, EmbeddedTrack, embedded_tracks

__all__ = ["EmbeddedConfig", "EmbeddedTrack", "embedded_tracks"]
