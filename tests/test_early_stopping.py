"""When a training ends early. Oracle: the end written down beside the values, and a search for the best."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cyclopts")

from experiments.training.options import ValidationOptions
from experiments.training.validation import stops_after
from madsep_jax.config.training import EarlyStoppingConfig
from madsep_jax.errors import InputError

NAN = float("nan")


def first_stop(values, **fields):
    """After how many values a training ends that looks after each of them."""
    rule = EarlyStoppingConfig(**fields)
    lines = [{rule.metric: value} for value in values]
    return next((count for count in range(len(values) + 1) if stops_after(lines[:count], rule)), None)


@pytest.mark.parametrize(
    ("values", "fields", "expected"),
    [
        ([5, 4, 3, 2, 1], {"patience": 1}, None),
        ([5, 5], {"patience": 1}, 2),
        ([5, 4, 4.5, 4.2, 3.9, 4, 4, 4], {"patience": 3}, 8),
        ([5, 4, 4.5, 4.2, 4.1, 3.9], {"patience": 3}, 5),
        ([5, 4.95, 4.92, 4.89], {"patience": 2, "min_delta": 0.1}, 3),
        ([5, 4.95, 4.89, 4.85, 4.8], {"patience": 2, "min_delta": 0.1}, 5),
        ([1, 2, 3, 2.5, 2.9], {"patience": 2, "metric": "SDR"}, 5),
        ([-1, -2, -3], {"patience": 2, "metric": "SDR"}, 3),
        ([NAN, NAN], {"patience": 2}, 2),
        ([3, NAN, 2, NAN, NAN], {"patience": 2}, 5),
        ([1, 1, 1, 1], {"patience": None}, None),
        ([], {"patience": 1}, None),
    ],
)
def test_scripted_values(values, fields, expected):
    assert first_stop(values, **fields) == expected


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 5))
def test_it_ends_once_the_best_is_so_long_ago(values, patience):
    ends = [count for count in range(1, len(values) + 1) if count - 1 - values.index(min(values[:count])) >= patience]
    assert first_stop(values, patience=patience) == (ends[0] if ends else None)


def test_validations_without_the_metric_do_not_count():
    """The loss is there after each epoch, the SDR now and then."""
    lines = [{"loss": 1, "SDR": 3}, {"loss": 1}, {"loss": 1}, {"loss": 1, "SDR": 2}]
    assert not stops_after(lines[:3], EarlyStoppingConfig(patience=1, metric="SDR"))
    assert stops_after(lines, EarlyStoppingConfig(patience=1, metric="SDR"))
    assert stops_after(lines, EarlyStoppingConfig(patience=3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patience": 0}, "EarlyStoppingConfig.patience: found 0, expected a positive number of validations"),
        ({"min_delta": -1.0}, "EarlyStoppingConfig.min_delta: found -1.0, expected 0 or more"),
        ({"min_delta": NAN}, "EarlyStoppingConfig.min_delta: found nan"),
        ({"metric": "SAR"}, "EarlyStoppingConfig.metric: found 'SAR', expected 'loss' or 'SDR'"),
    ],
)
def test_bad_rules_are_named(fields, message):
    with pytest.raises(InputError) as caught:
        EarlyStoppingConfig(**fields)
    assert message in str(caught.value)


def stopping_after_3(metric=None, **options):
    """The fields of the configuration, of a patience of 3 and perhaps a metric, with these options."""
    given = {"patience": 3} if metric is None else {"patience": 3, "metric": metric}
    fields = {f"training.early_stopping.{name}": value for name, value in given.items()}
    return ValidationOptions(**options).with_metric({"training.epochs": 7, **fields})


def test_without_patience_nothing_stops():
    given = {"training.epochs": 7, "training.early_stopping.min_delta": 1.0, "training.early_stopping.metric": "SDR"}
    assert ValidationOptions(validation_loss=True).with_metric(given) == {"training.epochs": 7}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"validation_loss": True}, "loss"),
        ({"validate_every": 2}, "SDR"),
        ({"validation_loss": True, "validate_every": 2}, "loss"),
        ({"validation_loss": True, "validate_every": 2, "metric": "SDR"}, "SDR"),
    ],
)
def test_the_metric_is_one_that_is_measured(options, expected):
    assert stopping_after_3(**options)["training.early_stopping.metric"] == expected


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "--validation-loss"),
        ({"validate_every": 1, "metric": "loss"}, "--validation-loss"),
        ({"validation_loss": True, "metric": "SDR"}, "--validate-every"),
    ],
)
def test_stopping_needs_a_validation(options, missing):
    with pytest.raises(InputError, match=f"--early-stopping-patience: found no {missing}"):
        stopping_after_3(**options)
