"""Settings of all tests. JAX is configured here, before anything imports it."""

import os

# The tests compile much and run little: this halves their time. Set it to 0 to test what a user runs.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import pytest
from hypothesis import settings
from tiny import enable_float64

settings.register_profile("madsep", deadline=None)  # compilation makes the first example of a shape slow
settings.load_profile("madsep")


@pytest.fixture
def float64():
    """Run the test in double precision."""
    with enable_float64():
        yield
