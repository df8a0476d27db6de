"""That all sides compute the same, before any is timed."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.case import Case, Form, Precision, PreparedCase, make_batch
from madsep_jax.models.registry import architecture_of
from madsep_jax.train.batch import TrainState
from madsep_jax.train.step import make_train_step


class UnequalOutputsError(Exception):
    """Two sides of a comparison compute different things."""


#: Largest difference, as a share of the largest value.
TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 5e-2, "float64": 1e-10}

#: Size of the batch that the training losses are compared on.
_SEQUENCES = 2
_TARGET_FRAMES = 4


def largest_difference(found: Any, expected: Any) -> float:
    """Return the largest difference of two arrays, or trees of them, as a share of the same array's largest value.

    It is infinite where shapes differ, and NaN where one is NaN.
    """
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return float(np.max([_difference(one, other) for one, other in pairs]))


def _difference(found: Any, expected: Any) -> float:
    if jax.dtypes.issubdtype(getattr(found, "dtype", None), jax.dtypes.prng_key):
        found, expected = jax.random.key_data(found), jax.random.key_data(expected)
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return float("inf")
    return np.abs(found - expected).max(initial=0) / (np.abs(expected).max(initial=0) or 1.0)


def check_equal(case: Case, what: str, found: Mapping[str, Any]) -> float:
    """Compare what all ways of a case's work have found, by their names; return the largest difference.

    Raises:
        UnequalOutputsError: where it is larger than the precision allows.
    """
    (first, expected), *others = found.items()
    worst = 0.0
    for name, one in others:
        difference = largest_difference(one, expected)
        if not difference <= TOLERANCE[case.precision]:
            raise UnequalOutputsError(
                f"{case.title}: {what} of {name!r} and {first!r} differ by {difference:.2g} of the largest value, "
                f"expected at most {TOLERANCE[case.precision]:g}"
            )
        worst = max(worst, difference)
    return worst


def check_outputs(case: Case, prepared: Mapping[str, PreparedCase]) -> float:
    """Compare what all ways of inference return for the case's batch; see `check_equal`."""
    outputs = {name: one.output_BTF for name, one in prepared.items() if one.output_BTF is not None}
    return check_equal(case, "outputs", outputs) if outputs else 0.0


def small_case(case: Case) -> Case:
    """Return the same system in training, for a small batch and without dropout."""
    masker, context = case.config.masker, case.config.sequences.context
    size = {"training.batch_size": _SEQUENCES, "sequences.frames": 2 * context + _TARGET_FRAMES}
    return case.changed({**size, "masker": architecture_of(masker).without_dropout(masker)}, mode="train")


def training_loss(case: Case, form: Form, state: TrainState) -> float:
    """Return our loss of the case's batch in training, before any step."""
    _, metrics = jax.jit(make_train_step(case.with_form(form)))(state, make_batch(case.config, case.dtype))
    return float(metrics["loss"])
