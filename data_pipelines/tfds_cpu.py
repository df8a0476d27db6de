"""TensorFlow Datasets, and the TensorFlow below it, without any accelerator. Imported where one of them is needed."""

from data_pipelines.tensorflow_cpu import tf

try:
    import tensorflow_datasets as tfds
    from absl import logging
except ImportError as error:
    from madsep_jax.errors import InputError

    raise InputError('tensorflow-datasets is not installed, expected: pip install "madsep-jax[data]"') from error

logging.set_verbosity(logging.ERROR)  # TFDS warns of every config that is not among a builder's own

__all__ = ["tf", "tfds"]
