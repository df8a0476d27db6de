"""Oracle: a product of (m, n) and (n, k) takes 2mnk operations. Within 1 %, for what XLA counts beside it."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from tiny import GRU

from madsep_jax.models.cost import flops, forward_gflop_per_second

M, N, K = 16, 64, 32


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_product():
    assert flops(jnp.matmul, shape(M, N), shape(N, K)) == 2 * M * N * K


def test_a_scan_counts_each_turn():
    def repeated(x, w):
        return jax.lax.scan(lambda h, _: (h @ w, None), x, length=7)[0]

    assert flops(repeated, shape(M, N), shape(N, N)) == pytest.approx(7 * 2 * M * N * N, rel=0.01)


def test_scans_within_scans_and_functions_within_functions():
    def inner(x, w):
        return jax.lax.scan(lambda h, _: (h @ w, None), x, length=3)[0]

    def outer(x, w):
        return jax.lax.scan(lambda h, _: (jax.jit(inner)(h, w), None), x @ w, length=5)[0]

    assert flops(jax.jit(outer), shape(M, N), shape(N, N)) == pytest.approx((1 + 15) * 2 * M * N * N, rel=0.01)


def test_forward_of_the_gru_separator():
    """Every product of eq. 1 to 10 for S and T frames; what is elementwise adds up to a fifth here."""
    run = dataclasses.replace(GRU, masker=dataclasses.replace(GRU.masker, reduced_bins=40))
    (s, t), f, r = (run.sequences.frames, run.sequences.target_frames), run.signal.bins, 40
    encoder, decoder = 2 * s * 2 * (r * 3 * r * 2), t * 2 * (2 * r * 6 * r * 2)
    products = encoder + decoder + t * 2 * (2 * r * f + 2 * f * (f // 2))
    seconds = t * run.signal.hop_length / run.signal.sample_rate
    found = forward_gflop_per_second(run) * 1e9 * seconds
    assert products < found < 1.2 * products
