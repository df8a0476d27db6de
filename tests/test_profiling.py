"""The time of each operation of a program. Oracles: traces and programs made for the purpose."""

import jax
import jax.numpy as jnp
import pytest

pytest.importorskip("cyclopts")

from experiments.benchmarks.device_report.profiling import operation_seconds, slowest_operations


def events(*spans, tid=1):
    return [
        {"ph": "X", "pid": 1, "tid": tid, "name": name, "ts": start, "dur": end - start, "args": {"hlo_op": name}}
        for name, start, end in spans
    ]


def test_the_time_of_an_operation_is_its_own():
    """Microseconds; the loop encloses two products, on another thread a third runs at the same time."""
    trace = events(("while", 0, 100), ("dot", 10, 40), ("dot", 50, 90), ("copy", 100, 105))
    trace += events(("dot", 20, 30), tid=2)
    trace += [{"ph": "X", "pid": 1, "tid": 3, "name": "python", "ts": 0, "dur": 1000}]
    assert operation_seconds(trace) == pytest.approx({"while": 30e-6, "dot": 80e-6, "copy": 5e-6})


def test_a_device_track_is_counted_once():
    """As on a GPU: kernels by stream, and the same again by operation."""
    names = [
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "Stream #7(Kernel)"}},
        {"ph": "M", "pid": 1, "tid": 2, "name": "thread_name", "args": {"name": "XLA Ops"}},
    ]
    by_operation = [{"ph": "X", "pid": 1, "tid": 2, "name": "fusion.1", "ts": 0, "dur": 50}]
    assert operation_seconds(names + events(("fusion.1", 0, 50)) + by_operation) == pytest.approx({"fusion.1": 50e-6})


def test_the_slowest_operation_is_named():
    """A product of two large matrices beside a sum of two small vectors."""

    @jax.jit
    def program(a_NN, b_N):
        with jax.named_scope("large_product"):
            product_NN = a_NN @ a_NN
        return product_NN, jnp.cumsum(b_N)

    arguments = (jnp.ones((700, 700)), jnp.ones(10))
    compiled = program.lower(*arguments).compile()
    first, *_ = slowest_operations(lambda: jax.block_until_ready(compiled(*arguments)), compiled.as_text())
    assert "large_product" in first.source
    assert "f32[700,700]" in first.kind
    assert 0.5 < first.share <= 1
    assert 0 < first.seconds < 10
