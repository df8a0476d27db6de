"""The log of a training, as far as it is the same in every run."""

import json

#: What a line has that is measured, and so differs from run to run of the same training.
MEASURED = (
    "step_s",
    "input_wait_s",
    "sequences_per_s",
    "device_memory_bytes",
    "device_peak_bytes",
    "process_memory_bytes",
    "process_peak_bytes",
)


def without_measured(lines):
    """The lines, without times and memory."""
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def trained(row):
    """Those that a row's training has left, in order."""
    return without_measured([json.loads(line) for line in (row / "train.jsonl").read_text().splitlines()])
