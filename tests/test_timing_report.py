"""Speeds, ratios and tables of what was timed, by hand."""

from types import SimpleNamespace

import pytest

pytest.importorskip("cyclopts")

from experiments.benchmarks.rounds import Times
from experiments.benchmarks.throughput.peak import Peak
from experiments.benchmarks.throughput.report import Timings
from experiments.benchmarks.throughput.run_case import make_row
from madsep_jax.config.run import RunConfig


def result(variant, seconds, batch=4, peaks=(), failure=None):
    """The row of a variant whose median step takes so long, and the third quartile twice as long."""
    size = {"batch": batch, "frames": 60, "parameters": 7, "flops": 3e9, "audio_s": 1.5}
    case = SimpleNamespace(system="mad", mode="train", precision="float32", config=RunConfig(), **size)
    step_s = [] if seconds is None else [seconds, 2 * seconds, seconds, 2 * seconds, seconds]
    return make_row(case, variant, None, Times(step_s, failure), peaks)


def test_speeds_and_ratios_of_a_result():
    results = [
        result("jax fast", 0.5, peaks=[20.0, 12.0, 11.0]),
        result("torch", 2.0),
        result("torch tuned", 1.0),
        result("torch", 50.0, batch=8),
        result("jax fast", None, batch=8, failure="out of memory"),
    ]
    first = results[0]
    assert [first[name] for name in ("median_s", "first_quartile_s", "third_quartile_s")] == [0.5, 0.5, 1.0]
    assert [first[name] for name in ("sequences_per_s", "audio_s_per_s", "gflop_per_s")] == [8, 3, 6]
    assert first["peak_share"] == 0.5
    peak = Peak(gflop_per_s=20.0, matrix_size=64, copy_gb_per_s=1.0)
    report = Timings(results, {"float32": peak}, {})
    ratios = [row["ratio_to"] for row in report.compared()]
    assert ratios == [{"torch": 0.25, "torch tuned": 0.5}, {}, {}, {}, {"torch": None, "torch tuned": None}]
    lines = report.table().markdown().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (lines[0], lines[2])), strict=True))
    expected = {
        "step (ms)": "500.0",
        "IQR (ms)": "500.0",
        "peak (GFLOP/s)": "12",
        "of peak (%)": "50",
        "/ torch": "0.25",
        "/ torch tuned": "0.50",
    }
    assert cells.items() >= expected.items()
    assert "failed: out of memory" in lines[6]
    assert "precision" not in cells


def test_a_machine_that_did_other_things_is_reported():
    peak = Peak(gflop_per_s=1000.0, matrix_size=64, copy_gb_per_s=1.0)
    results = [
        result(variant, 0.5, batch, peaks)
        for batch, peaks in ((4, [900.0, 810.0, 500.0]), (8, [900.0, 500.0, 400.0]))
        for variant in ("jax fast", "torch")
    ]
    expected = (
        "mad train, batch 8, 60 frames, float32: the machine did 500 GFLOP/s of 1,000; time it again when it is quiet"
    )
    assert Timings(results, {"float32": peak}, {}).disturbed() == [expected]


def test_the_summary_has_our_fastest_form_beside_pytorch():
    results = [
        result("jax plain", 0.9),
        result("jax fast", 0.5),
        result("torch", 2.0),
        result("jax fast", None, batch=8, failure="out of memory"),
        result("torch", 3.0, batch=8),
    ]
    header, _, *rows = Timings(results, {}, {}).summary().markdown().split("\n\n")[0].splitlines()
    assert len(rows) == 1
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, rows[0])), strict=True))
    expected = {"batch": "4", "jax (ms)": "500.0", "torch (ms)": "2,000.0", "/ torch": "0.25", "audio s / s": "3.0"}
    assert cells.items() >= expected.items()
    assert "torch tuned (ms)" not in cells
