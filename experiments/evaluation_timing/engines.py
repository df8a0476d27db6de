"""One song scored by one engine, and the difference of two engines' scores."""

import numpy as np

from experiments.evaluation_timing.cases import ScoredSong
from experiments.scoring.protocols import EngineName, ProtocolName, protocol_of
from experiments.scoring.score_song import score_arrays
from experiments.scoring.window_scores import WindowScores


def score(song: ScoredSong, engine: EngineName, protocol: ProtocolName) -> WindowScores:
    """Score a song, whose samples each engine converts to double precision itself."""
    how = protocol_of(protocol, engine)
    return score_arrays(how, engine, song.reference_SNC, song.estimate_SNC, song.sample_rate)


def largest_difference_db(a: WindowScores, b: WindowScores) -> float:
    """Return the largest difference of any score, in dB. Raises RuntimeError where the NaN patterns differ."""
    differences = [0.0]
    for a_W, b_W in zip(_values(a), _values(b), strict=True):
        if (np.isnan(a_W) != np.isnan(b_W)).any():
            raise RuntimeError("the engines do not agree on which windows have scores")
        finite_W = np.isfinite(a_W) & np.isfinite(b_W)
        differences.append(float(np.abs(a_W[finite_W] - b_W[finite_W]).max(initial=0.0)))
    return max(differences)


def _values(scores: WindowScores) -> list[np.ndarray]:
    return [values_W for source in range(len(scores.sdr_SW)) for values_W in scores.of_source(source).values()]
