"""Training on many devices, in many processes, and many steps or seeds at once."""

from madsep_jax.parallel.layout import Layout, make_layout

__all__ = ["Layout", "make_layout"]
