"""Options of XLA's compiler. Oracle: XLA itself, which refuses an option that it does not know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import GRU

from experiments.benchmarks.compile_time.steps import choices
from madsep_jax import separate, separation
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.host.compiler import CHOSEN, compiler_options
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.train import losses
from madsep_jax.train.batch import zero_batch
from madsep_jax.train.step import compile_train_step, init_state


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
    """XLA takes each of those chosen, and computes the same; one that it does not know is an error."""
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


def train(folder):
    compile_train_step(GRU, init_state(GRU))


def share(folder, style):
    layout = make_layout(GRU, ParallelConfig(devices=1, style=style))
    compile_layout(layout, layout.place_state(init_state(GRU)), layout.place_batch(zero_batch(GRU)))


def share_by_jit(folder):
    share(folder, "jit")


def share_by_pmap(folder):
    share(folder, "pmap")


def separate_song(folder):
    separate(GRU, init_state(GRU).variables, np.ones((700, 1), np.float32), GRU.signal.sample_rate)


def validate(folder):
    losses.validation_loss(GRU, init_state(GRU).variables, [(zero_batch(GRU), 1)])


@pytest.fixture
def unknown_option(monkeypatch):
    """Choose an option that XLA refuses: whoever passes the choice on fails."""

    def forget():
        separation._jitted_block.cache_clear()
        losses._jitted_sums.cache_clear()

    forget()
    monkeypatch.setitem(CHOSEN, "cpu", {"xla_no_option": 1})
    yield
    forget()


@pytest.mark.parametrize("use", [train, share_by_jit, share_by_pmap, separate_song, validate])
def test_programs_are_compiled_with_them(use, unknown_option, tmp_path):
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_option"):
        use(tmp_path)
