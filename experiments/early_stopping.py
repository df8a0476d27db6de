"""When the validation says that a training should end."""

from collections.abc import Mapping, Sequence

from madsep_jax.config import EarlyStoppingConfig

#: Whether less is better.
_FALLS = {"loss": True, "SDR": False}


def should_stop(values: Sequence[float], config: EarlyStoppingConfig) -> bool:
    """Whether a training ends after its last validation.

    The best value is the one that was better than the best before it by more than `min_delta`; the training ends once
    `patience` validations have come after it. What is not a number is no improvement.

    Args:
        values: the metric of all validations so far, in order.
        config: the rule.
    """
    if config.patience is None:
        return False
    best, since = float("inf"), 0
    for value in values:
        falling = value if _FALLS[config.metric] else -value
        if falling < best - config.min_delta:
            best, since = falling, 0
        else:
            since += 1
    return since >= config.patience


def stops_after(validations: Sequence[Mapping[str, float]], config: EarlyStoppingConfig) -> bool:
    """Whether a training ends after the last of these lines of its validation log."""
    return should_stop([line[config.metric] for line in validations if config.metric in line], config)
