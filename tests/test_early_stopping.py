"""When a training ends early. Oracle: the end written down beside the values, and a search for the best."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cyclopts")

from experiments.training.options import ValidationOptions
from experiments.training.validation import stops_after
from madsep_jax.config.io import override
from madsep_jax.config.run import RunConfig
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
        ([3, None, 2, None, None], {"patience": 2, "metric": "loss"}, 5),
        ([3, None, None], {"patience": 2, "metric": "SDR"}, 3),
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


RULE = "training.early_stopping"


def with_metric(options, fields, others=()):
    """The rule of a configuration with these fields, given by options of their own but for the others."""
    named = {f"{RULE}.{name}": value for name, value in fields.items()}
    config = override(RunConfig(), named)
    flags = named.keys() - {f"{RULE}.{name}" for name in others}
    return ValidationOptions(**options).with_metric(config, flags, named.keys() - flags).training.early_stopping


def stopping_after_3(metric=None, **options):
    """That of a patience of 3 and perhaps a metric, with these options."""
    return with_metric(options, {"patience": 3} if metric is None else {"patience": 3, "metric": metric})


def test_without_patience_nothing_stops():
    assert with_metric({"validation_loss": True}, {}) == EarlyStoppingConfig()
    assert with_metric({}, {"metric": "loss", "min_delta": 0.0}, ["metric", "min_delta"]) == EarlyStoppingConfig()


@pytest.mark.parametrize("fields", [{"min_delta": 1.0}, {"metric": "SDR"}, {"metric": "loss"}, {"min_delta": 0.0}])
def test_how_to_stop_is_refused_where_nothing_stops(fields):
    (name,) = fields
    with pytest.raises(InputError, match=f"--early-stopping-{name.replace('_', '-')}: found no --early-stopping-pat"):
        with_metric({"validation_loss": True}, fields)


@pytest.mark.parametrize("others", [["patience"], ["metric"], ["patience", "metric"]])
def test_a_rule_that_is_set_by_name_is_as_good(others):
    """By `--set`, that is."""
    rule = with_metric({"validation_loss": True, "validate_every": 1}, {"patience": 3, "metric": "SDR"}, others)
    assert (rule.patience, rule.metric) == (3, "SDR")
    with pytest.raises(InputError, match="found no --validation-loss"):
        with_metric({}, {"patience": 3}, ["patience"])


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
    assert stopping_after_3(**options).metric == expected


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
