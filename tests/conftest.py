"""Settings of all tests. JAX is configured here, before anything imports it."""

import os
import shutil
import tempfile

# The tests compile much and run little, so three settings save most of their time. The first leaves optimisations out:
# set it to 0 to test what a user runs. The second takes XLA's older emitters, which JAX 0.10 still has and newer ones
# do without; in rare programs they are wrong where nothing is optimised, so that a test that fails should be run with
# XLA_FLAGS= too, as searches at random always are. The third keeps compiled programs for this session's processes.
if os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") == "1":
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the other cores have tests of their own
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="madsep-tests-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import pytest
from hypothesis import settings
from tiny import enable_float64

settings.register_profile("madsep", deadline=None)  # compilation makes the first example of a shape slow
settings.load_profile("madsep")


def pytest_unconfigure():
    """The process that made the folder of compiled programs deletes it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture
def float64():
    """Run the test in double precision."""
    with enable_float64():
        yield
