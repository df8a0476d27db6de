"""The training of one row: `loop.py` reads from top to bottom, the other files are its parts."""
