"""The short-time Fourier transform, and how the frames of a song are cut into sequences."""
