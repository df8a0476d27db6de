"""The machine that a process runs on: its files, locks, memory, versions and compiler."""
