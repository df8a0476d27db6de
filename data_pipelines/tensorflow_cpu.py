"""TensorFlow, for its input pipelines alone: it must never take an accelerator's memory, so its devices are hidden.

The only module that imports TensorFlow.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read once, when the library loads

try:
    import tensorflow as tf
except ImportError as error:
    from madsep_jax.errors import InputError

    raise InputError('tensorflow is not installed, expected: pip install "madsep-jax[data]"') from error

tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")

__all__ = ["tf"]
