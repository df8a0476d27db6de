"""Variables laid out for evaluation. Oracle: the plain scan and the model with its own variables, float64, 1e-10."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_cases import MASKERS, model_variables, scan_arguments
from tiny import GRU, assert_close, enable_float64, magnitudes

from madsep_jax import ComputeConfig, build_model
from madsep_jax.models.variables import inference_variables
from madsep_jax.ops.fast_gru import KERNEL_BY_ROWS, row_gru_scan
from madsep_jax.ops.gru import gru_scan

TOLERANCE = 1e-10


@pytest.mark.thorough
@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_scan_of_any_shape(steps, batch, hidden, reverse):
    with enable_float64():
        gates_TBG, kernel_HG, bias_G = scan_arguments(steps, batch, hidden)
        found_TBH = row_gru_scan(gates_TBG, kernel_HG.T, bias_G, reverse)
        assert_close(found_TBH, gru_scan(gates_TBG, kernel_HG, bias_G, reverse), TOLERANCE)


@pytest.mark.parametrize("shape", [(1, 1, 1, False), (5, 3, 4, True)])
def test_scan_at_the_edges(shape):
    test_scan_of_any_shape.hypothesis.inner_test(*shape)


def names(tree):
    return [str(path[-1].key) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


@pytest.mark.parametrize("name", MASKERS)
def test_every_system_gives_the_same(name, float64, monkeypatch):
    """With every kernel taken for a large one."""
    monkeypatch.setattr("madsep_jax.ops.fast_gru._LARGE_BYTES", 0)
    run = dataclasses.replace(GRU, masker=MASKERS[name], compute=ComputeConfig(operations="fast"))
    mag_BSF = jnp.asarray(magnitudes(2, run.sequences.frames, run.signal.bins), jnp.float64)
    variables = model_variables(run, mag_BSF)
    laid_out = inference_variables(run, variables)
    assert KERNEL_BY_ROWS in names(laid_out)
    assert "recurrent_kernel" not in names(laid_out)
    found, expected = (build_model(run.model).apply(given, mag_BSF) for given in (laid_out, variables))
    assert_close(found.voice_BTF, expected.voice_BTF, TOLERANCE)
    assert found.decoder_calls == expected.decoder_calls


def test_small_kernels_and_plain_operations_stay():
    """Oracle: the definition, 16 MiB; 1200 units in float32 are 16.5 MiB."""

    def tree(hidden):
        return {"params": {"decoder": {"recurrent_kernel": jnp.zeros((hidden, 3 * hidden), jnp.float32)}}}

    plain, fast = (dataclasses.replace(GRU, compute=ComputeConfig(operations=form)) for form in ("plain", "fast"))
    assert names(inference_variables(fast, tree(1100))) == ["recurrent_kernel"]
    assert names(inference_variables(fast, tree(1200))) == [KERNEL_BY_ROWS]
    assert names(inference_variables(plain, tree(1200))) == ["recurrent_kernel"]
