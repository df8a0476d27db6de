"""The short-time Fourier transform, how the frames of a song are cut into sequences or windows, and how loud it is."""
