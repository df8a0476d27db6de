"""Separation quality by BSSEval v4: one song, one set of songs, and the reference rows of the table."""
