"""TensorFlow Datasets, and the TensorFlow below it, without any accelerator. Imported where one of them is needed."""

from data_pipelines.tensorflow_cpu import tf

try:
    import tensorflow_datasets as tfds
except ImportError as error:
    from madsep_jax.errors import InputError

    raise InputError('tensorflow-datasets is not installed, expected: pip install "madsep-jax[data]"') from error

__all__ = ["tf", "tfds"]
