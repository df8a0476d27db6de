"""The validation of a training that may be told to stop meanwhile."""

from collections.abc import Mapping
from typing import Any, Literal

from experiments.resume import Start
from experiments.stop_signals import Stopped, StopSignals
from experiments.train_log import TrainLog, read_log
from experiments.validation import Validation
from madsep_jax.keeping import Score


def validate(
    validation: Validation, step: int, start: Start, variables: Mapping[str, Any], log: TrainLog, signals: StopSignals
) -> Score | None:
    """Validate a model and log what is found, once for a step.

    Returns:
        What tells the best checkpoint; None where a signal has come before it was found, or it is not due yet.
    """
    if any(line["step"] == step for line in read_log(start.folder, "validation")):
        return None
    try:
        with signals.ending_at_once():
            values = validation.measure(start.config, variables, step, start.order.steps_per_epoch)
    except Stopped:
        return None
    log.write_validation(step, values)
    metric = _metric(validation, start)
    return Score(_NAMES[metric], values[metric], metric == "SDR", validated=True) if metric in values else None


_NAMES = {"loss": "loss of the validation songs", "SDR": "SDR of the validation songs"}


def _metric(validation: Validation, start: Start) -> Literal["loss", "SDR"]:
    """What early stopping goes by; else the loss where there is one, which each validation has."""
    rule = start.config.training.early_stopping
    if rule.patience is not None:
        return rule.metric
    return "SDR" if validation.cache is None else "loss"
