"""The records of a prepared set as TFDS features, and as bytes."""

from collections.abc import Callable

import numpy as np

from data_pipelines.prepared.records import Example
from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.tensorflow_cpu import tf
from data_pipelines.tfds_cpu import tfds


def tfds_features(settings: FeatureSettings) -> "tfds.features.FeaturesDict":
    """Return the features of a record."""
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
    features = tfds_features(settings)

    def encode(example: Example) -> bytes:
        message = tf.train.Example.FromString(features.serialize_example(example))
        return message.SerializeToString(deterministic=True)

    return encode
