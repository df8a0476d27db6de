"""The training of rows: `loop.py` reads from top to bottom, the other files are its parts."""
