"""The memory that a training step plans."""
