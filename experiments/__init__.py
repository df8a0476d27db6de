"""What a person runs: training, ablation, scoring, timing.

A process that is started for a command takes a moment to import it. An interruption ends it in that time, too, in one
line; `experiments.cli.signals` says what does afterwards.
"""

import os
import signal
import sys
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    modules = [part for part in sys.orig_argv[:4] if part.startswith("experiments.")]
    name = modules[0].rpartition(".")[2] if modules else "madsep"
    os.write(2, f"{name}: interrupted\n".encode())
    os._exit(128 + number)


# Python's own name for a program while it looks for the module of `-m`; or that of the program that is installed.
if os.path.basename(sys.argv[0]) in ("-m", "madsep") and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
