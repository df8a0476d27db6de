"""Settings of all tests. JAX is configured here, before anything imports it."""

import importlib.util
import os
import shutil
import tempfile
from importlib.metadata import version

# The tests compile much and run little: this saves half of their time. Set it to 0 to test what a user runs.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# So does this: JAX 0.10 still has XLA's older emitters, which are quicker. Where nothing is optimised, rare programs of
# theirs were found wrong with vectors of AVX, or compiled in parts: so neither is done.
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and version("jaxlib").startswith("0.10."):
    quick = "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
    os.environ.setdefault("XLA_FLAGS", f"{quick} --xla_cpu_max_isa=SSE4_2 --xla_cpu_parallel_codegen_split_count=1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the other cores have tests of their own
if "PYTEST_XDIST_WORKER" not in os.environ:  # what one process compiles, all others of this session read
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="madsep-tests-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # What the commands remember of songs, too, is of this session; but Matplotlib's fonts are those of the user.
    os.environ.setdefault("MPLCONFIGDIR", os.path.expanduser("~/.cache/matplotlib"))
    os.environ["XDG_CACHE_HOME"] = os.path.join(os.environ["JAX_COMPILATION_CACHE_DIR"], "user")

# TensorFlow, which some tests import by themselves, crashes where Triton comes into its process after it.
if importlib.util.find_spec("triton"):
    import triton  # noqa: F401

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
