"""BSSEval v3 (images) over segments: distortion filters of each segment's own."""

import jax
import numpy as np

from madsep_jax.bss_eval.ratios import Ratios
from madsep_jax.bss_eval.song import Song
from madsep_jax.bss_eval.v4 import score_windows
from madsep_jax.bss_eval.windows import Windows


def score_segments(song: Song, windows: Windows, taps: int) -> Ratios:
    """Score the estimates of a song by BSSEval images, each segment as if it were a song, without permutation.

    Args:
        song: its references and estimates.
        windows: the segments.
        taps: of the distortion filters.

    Returns:
        SDR, ISR, SIR and SAR in dB, (E, S, W). A segment in which a reference, or a source of an estimate, is silent is
        NaN for all sources of that estimate.

    Source: E. Vincent, S. Araki, P. Bofill, The 2008 Signal Separation Evaluation Campaign, ICA 2009 (BSS Eval 3.0).
    """
    segments = []
    for start in windows.starts():
        span = slice(start, start + windows.length)
        part = Song(song.reference_SNC[:, span], song.estimate_ESNC[:, :, span])
        # a whole song may have any length, segments all have the same
        length = windows.length if windows.count > 1 else np.inf
        segments.append(score_windows([part], window=length, hop=length, taps=taps)[0])
    return jax.tree.map(lambda *ratio_ESW: np.concatenate(ratio_ESW, axis=-1), *segments)
