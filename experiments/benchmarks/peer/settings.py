"""What a command needs of PyTorch before it has to import it."""

import os
from typing import Any

import jax

from madsep_jax.errors import InputError

#: Of a GPU's memory, for each side where two are timed.
_MEMORY_SHARE = "0.45"


def share_memory() -> None:
    """Leave half of a GPU's memory to PyTorch; before JAX looks for devices, which it does once.

    JAX takes most of it at its start otherwise. What the user has set stays.
    """
    if not any(name.startswith(("XLA_PYTHON_CLIENT_", "XLA_CLIENT_MEM")) for name in os.environ):
        os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = _MEMORY_SHARE


def torch_settings() -> dict[str, Any]:
    """Return what PyTorch's speed depends on, for saving beside a result.

    Raises:
        InputError: where PyTorch is not installed, or cannot use the device that JAX uses.
    """
    try:
        from experiments.benchmarks.peer import run as peer
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError("--peer torch: PyTorch is not installed; python -m pip install torch") from None
    peer.peer_device(jax.default_backend())
    return peer.torch_settings()
