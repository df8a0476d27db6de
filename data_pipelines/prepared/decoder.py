"""From the bytes of a record to its contents."""

from collections.abc import Callable

import numpy as np

from data_pipelines.prepared.records import Example
from data_pipelines.prepared.settings import FeatureSettings


def example_decoder(settings: FeatureSettings) -> Callable[[bytes], Example]:
    """Return what reads a record, the inverse of `features.example_encoder`.

    The arrays are views of the record's bytes, not to be written to.
    """
    from data_pipelines.tensorflow_cpu import tf

    shapes = {"mixture": settings.mix_shape, "voice": settings.voice_shape}

    def decode(record: bytes) -> Example:
        fields = tf.train.Example.FromString(record).features.feature
        arrays = {
            name: np.frombuffer(fields[name].bytes_list.value[0], settings.dtype).reshape(shape)
            for name, shape in shapes.items()
        }
        track, offset = fields["track"].bytes_list.value[0].decode(), fields["offset"].int64_list.value[0]
        return {"track": track, "offset": offset, "frames": tuple(fields["frames"].int64_list.value), **arrays}

    return decode
