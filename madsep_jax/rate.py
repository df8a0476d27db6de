"""Process a signal at another sample rate than its own."""

from collections.abc import Callable

import numpy as np

from madsep_jax.audio import resample


def process_at_rate(
    samples_NC: np.ndarray, sample_rate: int, rate: int, process: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Resample from `sample_rate` to `rate` (Hz), process, and resample back to exactly the original length.

    `process` keeps the length; it may change the number of channels.
    """
    processed_NC = resample(process(resample(samples_NC, sample_rate, rate)), rate, sample_rate)
    processed_NC = processed_NC[: len(samples_NC)]  # there and back may differ by a sample
    return np.pad(processed_NC, ((0, len(samples_NC) - len(processed_NC)), (0, 0)))
