"""Separation quality by a protocol: one song, a set of songs, and the references of the table."""
