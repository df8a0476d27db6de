"""museval's and mir_eval's functions by their names, arguments and results."""

import math
from collections.abc import Callable

import numpy as np

from madsep_jax.bss_eval.energies import Ratios
from madsep_jax.bss_eval.song import Song, Windows, as_samples, check_shapes
from madsep_jax.bss_eval.v4 import score_segments, score_windows

Scores = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
ScoresAndOrder = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def evaluate(
    references: np.ndarray,
    estimates: np.ndarray,
    win: float = 44100,
    hop: float = 44100,
    mode: str = "v4",
    padding: bool = True,
) -> Scores:
    """Score estimates as `museval.evaluate` does: BSSEval images, without permutation.

    Sources, `win` and `hop` are as of `bss_eval`, of whose results SDR, ISR, SIR and SAR are returned. Mode "v4" has
    one set of distortion filters, "v3" filters of each window's own. With `padding`, estimates that are longer than the
    references are cut, shorter ones filled with zeros.

    Raises:
        ValueError: where `bss_eval` does, or on another mode.
    """
    if mode not in ("v3", "v4"):
        raise ValueError(f"mode {mode!r}: expected 'v3' or 'v4'")
    references, estimates = np.asarray(references), np.asarray(estimates)
    if padding and references.ndim > 1 and estimates.ndim == references.ndim:
        estimates = _of_length(estimates, references.shape[1])
    return bss_eval(references, estimates, window=win, hop=hop, framewise_filters=mode == "v3")[:4]


def bss_eval(
    reference_sources: np.ndarray,
    estimated_sources: np.ndarray,
    window: float = 2 * 44100,
    hop: float = 1.5 * 44100,
    compute_permutation: bool = False,
    filters_len: int = 512,
    framewise_filters: bool = False,
    bsseval_sources_version: bool = False,
) -> ScoresAndOrder:
    """Score estimates as `museval.metrics.bss_eval` does, but for what is never right for music: permutation.

    Args:
        reference_sources: true sources (S, N, C), or (S, N), of samples as `sdr` takes them; computed in float64.
        estimated_sources: of the same shape, in the same order.
        window: length of a window in samples; math.inf for the whole song.
        hop: samples from one window to the next.
        compute_permutation: False.
        filters_len: taps of the distortion filters.
        framewise_filters: whether each window has filters of its own (BSSEval v3).
        bsseval_sources_version: False.

    Returns:
        SDR, ISR, SIR and SAR in dB, float64 (S, W), and the order of the sources, 0, 1, …, S - 1: (S, 1), or (S, W)
        with `framewise_filters`. A window in which any source is silent is NaN; so is a source whose samples are not
        finite.

    Raises:
        ValueError: shapes that differ, a source that is silent throughout, or an argument that is not as above.
    """
    if compute_permutation or bsseval_sources_version:
        raise ValueError("compute_permutation and bsseval_sources_version: found True, expected False")
    song, scores_of = _checked(reference_sources, estimated_sources)
    windows = Windows.of_song(song.samples, window, hop)
    if framewise_filters:
        ratios = score_segments(song, windows, filters_len)
    else:
        [ratios] = score_windows([song], window=window, hop=hop, taps=filters_len)
    order_S1 = np.arange(len(song.reference_SNC))[:, None]
    return *scores_of(ratios), order_S1.repeat(windows.count if framewise_filters else 1, axis=1)


def bss_eval_images_framewise(
    reference_sources: np.ndarray,
    estimated_sources: np.ndarray,
    window: float = 30 * 44100,
    hop: float = 15 * 44100,
    compute_permutation: bool = False,
) -> ScoresAndOrder:
    """Score estimates as `mir_eval.separation.bss_eval_images_framewise` does, without permutation.

    A song of fewer than two windows is scored as a whole, its rest included. The ISR of a window in which a source is
    silent is NaN like its other scores; mir_eval leaves it unset. Arguments, results and errors are otherwise those of
    `bss_eval` with `framewise_filters`.
    """
    samples = np.atleast_3d(np.asarray(reference_sources)).shape[1]
    if Windows.of_song(samples, window, hop).count < 2:
        window = hop = math.inf
    return bss_eval(reference_sources, estimated_sources, window, hop, compute_permutation, framewise_filters=True)


def _of_length(estimates: np.ndarray, samples: int) -> np.ndarray:
    missing = max(samples - estimates.shape[1], 0)
    return np.pad(estimates[:, :samples], ((0, 0), (0, missing)) + ((0, 0),) * (estimates.ndim - 2))


def _checked(references: np.ndarray, estimates: np.ndarray) -> tuple[Song, Callable[[Ratios], Scores]]:
    """Return the song, finite, and what takes out the scores that samples which are not finite would have spoilt."""
    references, estimates = (
        np.atleast_3d(np.asarray(as_samples(name, sources)))
        for name, sources in (("references", references), ("estimates", estimates))
    )
    check_shapes(references.shape, estimates.shape)
    for name, sources_SNC in (("reference", references), ("estimate", estimates)):
        silent = [number for number, source_NC in enumerate(sources_SNC) if (source_NC.sum(-1) == 0).all()]
        if silent:
            raise ValueError(f"{name} {silent[0]}: found silence throughout, expected a source with sound")
    bad_reference_S, bad_estimate_S = (~np.isfinite(sources).all((1, 2)) for sources in (references, estimates))
    if not (bad_reference_S | bad_estimate_S).any():
        return Song.of(references, estimates[None]), _first
    # A bad reference is among all that the estimates are projected onto; its own projection alone gives the ISR.
    bad_S1 = (bad_estimate_S | bad_reference_S.any())[:, None]
    bad_isr_S1 = (bad_estimate_S | bad_reference_S)[:, None]

    def without_bad(ratios: Ratios) -> Scores:
        sdr, isr, sir, sar = _first(ratios)
        sdr, sir, sar = (np.where(bad_S1, np.nan, ratio_SW) for ratio_SW in (sdr, sir, sar))
        return sdr, np.where(bad_isr_S1, np.nan, isr), sir, sar

    references, estimates = (np.where(np.isfinite(sources), sources, 1.0) for sources in (references, estimates))
    return Song.of(references, estimates[None]), without_bad


def _first(ratios: Ratios) -> Scores:
    """Return the scores of the only estimate."""
    sdr, isr, sir, sar = (ratio_ESW[0] for ratio_ESW in ratios)
    return sdr, isr, sir, sar
