"""How fast the systems are: several forms of each, and PyTorch's, side by side in one process."""
