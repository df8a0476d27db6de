"""The scores of one estimate of one song, window by window."""

from dataclasses import dataclass

import numpy as np

#: The metrics of BSSEval v4, in the order in which museval returns them.
METRICS = ("SDR", "ISR", "SIR", "SAR")


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores in dB of S sources in W windows: float64 (S, W). NaN: no score. +inf: nothing was wrong."""

    sdr_SW: np.ndarray
    isr_SW: np.ndarray
    sir_SW: np.ndarray
    sar_SW: np.ndarray

    def of_source(self, source: int) -> dict[str, np.ndarray]:
        """Return one source's scores in dB by the name of the metric, each (W,)."""
        scores = (self.sdr_SW, self.isr_SW, self.sir_SW, self.sar_SW)
        return {metric: score_SW[source] for metric, score_SW in zip(METRICS, scores, strict=True)}
