"""Oracle: the kernel's count of new pages."""

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import resource, sys
import numpy as np
from madsep_jax.host.memory import keep_freed_memory

if "keep" in sys.argv:
    assert keep_freed_memory()

def fill():
    np.empty(2**24, np.uint8).fill(1)

fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def new_pages(*arguments):
    # a fixed threshold: glibc's own moves with what is freed
    environment = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", COUNT, *arguments]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_taken_again():
    """16 MiB five times are 20 480 pages of 4 kB where they are asked for anew, or 40 large ones."""
    assert new_pages("keep") < new_pages() / 2
