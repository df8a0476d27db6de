"""The validation of a training that may be told to stop meanwhile."""

from collections.abc import Mapping
from typing import Any

from experiments.resume import Start
from experiments.stop_signals import Stopped, StopSignals
from experiments.train_log import TrainLog, read_log
from experiments.validation import Validation
from madsep_jax.keeping import Score


def validate(
    validation: Validation, step: int, start: Start, variables: Mapping[str, Any], log: TrainLog, signals: StopSignals
) -> Score | None:
    """Score a model and log that, once for a step; None where a signal has come before the scores."""
    if any(line["step"] == step for line in read_log(start.folder, "validation")):
        return None
    try:
        with signals.ending_at_once():
            values = validation.score(start.config, variables)
    except Stopped:
        return None
    log.write_validation(step, values)
    return Score("SDR of the validation songs", values["SDR"], higher_is_better=True, validated=True)
