"""Scores by `madsep_jax.bss_eval`: on the accelerator, or on the CPU's cores."""

import jax
import numpy as np

from experiments.scoring.protocols import Protocol, WindowScores
from madsep_jax import bss_eval
from madsep_jax.ops.precision import double_precision

_FILTER_TAPS = 512
_WHOLE_SONG = {"usdr": jax.jit(bss_eval.sdr), "si-sdr": jax.jit(bss_eval.si_sdr)}


def score(
    protocol: Protocol, reference_SNC: np.ndarray, estimate_ESNC: np.ndarray, sample_rate: int
) -> list[WindowScores]:
    """Score several estimates of one song.

    Args:
        protocol: which scores.
        reference_SNC: true sources.
        estimate_ESNC: estimates of them.
        sample_rate: Hz.

    Returns:
        The scores of each estimate. A window, or song, in which a source is silent is NaN for all sources; the
        whole-song protocols have a score of a silent source too, as they are defined.

    Raises:
        ValueError: arrays of other shapes, samples that are not finite, or a window or hop shorter than a sample.
    """
    song = bss_eval.Song.of(reference_SNC, estimate_ESNC)
    if protocol.window_s is None or protocol.hop_s is None:
        return _score_whole(protocol, song)
    window, hop = int(protocol.window_s * sample_rate), int(protocol.hop_s * sample_rate)
    windows = bss_eval.Windows.of_song(song.samples, window, hop)
    if protocol.name == "paper":
        if windows.count < 2:  # mir_eval scores the whole of such a song
            windows = bss_eval.Windows.of_song(song.samples, np.inf, np.inf)
        ratios = bss_eval.score_segments(song, windows, _FILTER_TAPS)
    else:
        [ratios] = bss_eval.score_windows([song], window=window, hop=hop, taps=_FILTER_TAPS)
    return [WindowScores(*(ratio_ESW[estimate] for ratio_ESW in ratios)) for estimate in range(len(estimate_ESNC))]


def _score_whole(protocol: Protocol, song: bss_eval.Song) -> list[WindowScores]:
    ratio = _WHOLE_SONG[protocol.name]
    with double_precision():
        # source by source: no more than two signals at a time in double precision
        sdr_ES1 = np.array(
            [
                [
                    [ratio(_double(true_NC), _double(estimate_NC))]
                    for true_NC, estimate_NC in zip(song.reference_SNC, estimate_SNC, strict=True)
                ]
                for estimate_SNC in song.estimate_ESNC
            ]
        )
    missing_S1 = np.full_like(sdr_ES1[0], np.nan)
    return [WindowScores(sdr_S1, missing_S1, missing_S1, missing_S1) for sdr_S1 in sdr_ES1]


def _double(x_NC: np.ndarray) -> np.ndarray:
    return x_NC.astype(np.float64)
