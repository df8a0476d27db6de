"""Sets of training sequences, prepared once: what a record holds, how it is written, and how it is read back.

A set is a TFDS data set of ArrayRecord files, one for each track, whose records can be read in any order. `settings.py`
is the place to start reading; `data_pipelines.builders` says where the songs come from.
"""
