"""Nothing is timed, or trusted, whose results are not equal."""

import numpy as np
import pytest

pytest.importorskip("cyclopts")

from experiments.benchmarks.case import Case, PreparedCase
from experiments.benchmarks.device_report import correctness
from experiments.benchmarks.equality import UnequalOutputsError, check_equal, check_outputs


def mad(**changes):
    return Case.of("mad", "train", 2, 24, "quick", **changes)


def prepared(output):
    return PreparedCase(run=lambda: None, output_BTF=np.asarray(output))


def test_unequal_outputs_are_an_error():
    case = mad()
    assert check_outputs(case, {"a": prepared([1.0, 2.0]), "b": prepared([1.0, 2.0001])}) == pytest.approx(5e-5)
    for wrong in ([1.0, 2.001], [1.0, np.nan], [1.0]):
        with pytest.raises(UnequalOutputsError, match="mad train, batch 2, 24 frames, float32: outputs of 'b' and 'a'"):
            check_outputs(case, {"a": prepared([1.0, 2.0]), "b": prepared(wrong)})


def test_unequal_losses_are_an_error():
    assert check_equal(mad(), "training losses", {"torch": 2.0, "plain": 2.0001}) == pytest.approx(5e-5)
    with pytest.raises(UnequalOutputsError, match=r"training losses of 'plain' and 'torch' differ by 0\.05"):
        check_equal(mad(), "training losses", {"torch": 2.0, "plain": 2.1})


def test_a_device_that_computes_something_else_is_found(monkeypatch):
    case = Case.of("dae", "train", 2, 24, "quick")
    (agreement,) = correctness.check_system(case, ["plain"])
    assert agreement.agrees
    assert max(agreement.voice, agreement.loss, agreement.gradient_norm) < 1e-5

    exact = correctness._numbers

    def wrong(case, form, device):
        found = exact(case, form, device)
        return found if case.precision == "float64" else {**found, "gradient_norm": found["gradient_norm"] * 1.01}

    monkeypatch.setattr(correctness, "_numbers", wrong)
    (agreement,) = correctness.check_system(case, ["plain"])
    assert not agreement.agrees
    assert agreement.gradient_norm == pytest.approx(0.01, rel=0.01)
    assert agreement.loss < 1e-5


def test_a_device_that_fails_is_named(monkeypatch):
    def fail(case, form, device):
        raise RuntimeError("INTERNAL: no kernel")

    monkeypatch.setattr(correctness, "_numbers", fail)
    (agreement,) = correctness.check_system(mad(), ["fast"])
    assert not agreement.agrees
    assert agreement.failure == "reference: RuntimeError: INTERNAL: no kernel"
