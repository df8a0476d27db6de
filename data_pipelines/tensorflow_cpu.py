"""TensorFlow, for its input pipelines alone: it must never take an accelerator's memory, so its devices are hidden.

The only module that imports TensorFlow.
"""

import contextlib
import importlib.util
import os
import sys

# Read once, when the library loads: no start-up notices, and no kernels that only its own models would use.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # JAX sets it too, so that a user's own choice cannot be told
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# PyTorch's compiler, which PyTorch imports when it first needs it: behind TensorFlow in one process it ends that with a
# segmentation fault, before it both work. It takes a tenth of a second. Behind a user's
# own TensorFlow it is too late.
if "tensorflow" not in sys.modules and importlib.util.find_spec("triton"):
    with contextlib.suppress(Exception):  # one that cannot be imported does nothing later, either
        import triton  # noqa: F401

try:
    import tensorflow as tf
except ImportError as error:
    from madsep_jax.errors import InputError

    raise InputError('tensorflow is not installed, expected: pip install "madsep-jax[data]"') from error

tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")

__all__ = ["tf"]
