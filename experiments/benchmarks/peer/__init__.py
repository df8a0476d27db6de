"""The same systems in PyTorch, of its public layers alone: what our own are timed against, on the same weights.

Written from the papers, with PyTorch's own defaults where it has a choice. Attributes are named as in the published
checkpoints, so that `load_state_dict` takes what `madsep_jax.interop.to_torch` makes.
"""
