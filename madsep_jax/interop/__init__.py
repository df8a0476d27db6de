"""Parameters to and from the names and shapes of the published PyTorch checkpoints."""

from madsep_jax.interop.state_dict import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
