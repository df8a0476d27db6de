"""Options of XLA's compiler. Oracle: what a step compiled with them does, and that XLA is given them at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.compiling.compiler import choices
from madsep_jax.compiler_options import CHOSEN, compiler_options


@pytest.fixture(autouse=True)
def optimising(monkeypatch):
    """As users run it: the tests themselves are run with most optimisations left out."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def test_options_by_backend():
    assert compiler_options("cpu") == CHOSEN["cpu"]
    assert compiler_options("no backend that was measured") == {}


def test_xla_flags_come_first(monkeypatch):
    """What a user sets is not overruled; flags that it does not name are chosen as ever."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=128 --xla_dump_to=folder")
    assert compiler_options("cpu") == {"xla_backend_optimization_level": 2}


def test_no_optimisation_where_jax_is_told_so():
    jax.config.update("jax_disable_most_optimizations", True)
    assert compiler_options("cpu") == {}


def test_xla_knows_the_options():
    """An option that XLA does not know is an error; those chosen change the program, not what it computes."""
    x_NC = jnp.asarray(np.random.default_rng(0).normal(size=(64, 8)))
    expected = np.sin(np.asarray(x_NC)) * 2
    for options in choices(CHOSEN["cpu"]).values():
        found = jax.jit(lambda x_NC: jnp.sin(x_NC) * 2, compiler_options=options)(x_NC)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_option"):
        jax.jit(jnp.sin, compiler_options={"xla_no_option": 1})(x_NC)


def test_what_is_compared():
    assert choices({}) == {"XLA's defaults": {}}
    assert list(choices({"a": 1})) == ["XLA's defaults", "a=1"]
    assert choices({"a": 1, "b": 2})["all of these"] == {"a": 1, "b": 2}
