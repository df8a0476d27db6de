"""What a command needs of PyTorch before it has to import it."""

import os
from typing import Any

from madsep_jax.errors import InputError
from madsep_jax.host.environment import find_devices

#: Of a GPU's memory, for each side where two are timed.
_MEMORY_SHARE = "0.45"


def start_torch() -> dict[str, Any]:
    """Leave half of a GPU's memory to PyTorch, and return what its speed depends on, for saving beside a result.

    To be called before JAX looks for devices, which it does once: it takes most of the memory at its start otherwise.
    What the user has set stays.

    Raises:
        InputError: where PyTorch is not installed, or cannot use the device that JAX uses.
    """
    if not any(name.startswith(("XLA_PYTHON_CLIENT_", "XLA_CLIENT_MEM")) for name in os.environ):
        os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = _MEMORY_SHARE
    try:
        from experiments.benchmarks.peer import run as peer
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError("--peer torch: PyTorch is not installed; python -m pip install torch") from None
    peer.peer_device(find_devices()[0].platform)
    return peer.torch_settings()
