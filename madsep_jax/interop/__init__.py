"""Parameters to and from the names, shapes and files of the published PyTorch checkpoints."""

from madsep_jax.interop.exported import read_model, write_model
from madsep_jax.interop.files import join_parts, read_state_dict, write_safetensors
from madsep_jax.interop.state_dict import from_torch, to_torch

__all__ = ["from_torch", "join_parts", "read_model", "read_state_dict", "to_torch", "write_model", "write_safetensors"]
