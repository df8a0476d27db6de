"""Scores of separated sources: BSSEval v4 and v3 (images), whole-song SDR and SI-SDR.

`evaluate`, `bss_eval` and `bss_eval_images_framewise` take and return what museval's and mir_eval's functions of these
names do, and equal them to within 1e-3 dB. `score_windows` and `score_segments` take several estimates, the former of
several songs, whose references are analysed once. They compute in float64, whatever JAX is set to elsewhere, and return
NumPy arrays; `sdr` and `si_sdr` are pure functions of arrays.

A source is silent, to museval, where its channels sum to zero at every sample: all zeros, but also two channels that
are opposite in sign. A window in which a reference or a source of an estimate is silent has no scores (NaN) for any
source.

Some scores are what rounding leaves of nothing, and differ between any two programs: those above 140 dB; the ISR, SIR
and SAR of references that have no sound at all in a part of the spectrum, not even that of rounding to 16 bits; those
above 100 dB of songs with fewer samples than all of the references' filters together; and those above 80 dB of songs
with fewer samples than one filter has taps. Where a song has fewer samples than all filters together, and several
windows, those depend on which of many solutions a program finds.
"""

from madsep_jax.bss_eval.energies import Ratios
from madsep_jax.bss_eval.museval_like import bss_eval, bss_eval_images_framewise, evaluate
from madsep_jax.bss_eval.song import FILTER_TAPS, Song, Windows, as_samples, median
from madsep_jax.bss_eval.v4 import score_segments, score_windows
from madsep_jax.bss_eval.whole_song import sdr, si_sdr

__all__ = [
    "FILTER_TAPS",
    "Ratios",
    "Song",
    "Windows",
    "as_samples",
    "bss_eval",
    "bss_eval_images_framewise",
    "evaluate",
    "median",
    "score_segments",
    "score_windows",
    "sdr",
    "si_sdr",
]
