"""BSSEval of one song by museval's own code, without museval's need for ffmpeg.

`import museval` imports musdb and stempeg, which raise where ffmpeg is not on the PATH. The metrics themselves
need NumPy and SciPy alone, so their module is loaded by its file and the package is never imported.
"""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

from experiments.scoring.protocols import METRICS, WindowScores
from madsep_jax.bss_eval import Song
from madsep_jax.errors import InputError

_FILTER_TAPS = 512


def bss_eval_v4(
    reference_SNC: np.ndarray,
    estimate_SNC: np.ndarray,
    sample_rate: int,
    *,
    window_s: float = 1.0,
    hop_s: float = 1.0,
    framewise: bool = False,
) -> WindowScores:
    """Score estimates (S, N, C) by BSSEval v4: one set of 512-tap distortion filters for the song, no permutation.

    A source is silent, to museval, where its channels **sum** to zero at every sample: all zeros, but also a
    stereo source whose channels are opposite in sign. Then:

    - a window in which any reference or any estimate is silent is NaN for every source and metric, as in museval;
    - a song in which any reference or any estimate is silent throughout is NaN in every window, for every source
      and metric, where museval raises ValueError.

    Windows are museval's: W = floor((N - window) / hop) + 1, so that a rest shorter than a window is not scored.
    A song shorter than a window is one window, the whole song.

    Lengths of a window and from one to the next, in seconds, are rounded down to samples. With `framewise` each window
    has its own filters, as in BSSEval v3; a song of fewer than two windows is then scored as a whole, as mir_eval does.

    SDR is +inf where an estimate equals its reference, -inf where a reference is so faint that its energy underflows.
    With a single source SIR says nothing: nothing can interfere.

    Raises:
        ValueError: arrays not of one shape (S, N, C) without a zero in it, samples that are not finite, or a
            window or hop shorter than a sample.
        InputError: museval is not installed.

    Source: Stöter, Liutkus and Ito, The 2018 Signal Separation Evaluation Campaign, 2018 (arXiv:1804.06267).
    """
    song = Song.of(reference_SNC, np.asarray(estimate_SNC)[None])
    reference_SNC = np.asarray(song.reference_SNC, np.float64)
    estimate_SNC = np.asarray(song.estimate_ESNC[0], np.float64)
    window, hop = int(window_s * sample_rate), int(hop_s * sample_rate)
    if min(window, hop) < 1:
        raise ValueError(
            f"window of {window_s} s and hop of {hop_s} s at {sample_rate} Hz: expected a sample or more of each"
        )
    metrics = museval_metrics()
    if framewise and metrics.Framing(window, hop, reference_SNC.shape[1]).nwin < 2:
        window = hop = reference_SNC.shape[1]
    if metrics._any_source_silent(reference_SNC) or metrics._any_source_silent(estimate_SNC):
        sources, samples, _ = reference_SNC.shape
        windows = metrics.Framing(window, hop, samples).nwin
        return WindowScores(*np.full((len(METRICS), sources, windows), np.nan))
    # museval guards its denominators, not its numerators: log10(0) is -inf here, without NumPy's warning.
    with np.errstate(divide="ignore"):
        *scores, _ = metrics.bss_eval(
            reference_SNC,
            estimate_SNC,
            window=window,
            hop=hop,
            filters_len=_FILTER_TAPS,
            framewise_filters=framewise,
        )
    return WindowScores(*scores)


@functools.cache
def museval_metrics() -> ModuleType:
    """Return museval's module of metrics. Raises InputError where museval is not installed."""
    spec = importlib.util.find_spec("museval")
    if spec is None or not spec.submodule_search_locations:
        raise InputError('museval: not installed, expected for BSSEval; pip install "madsep-jax[scores]"')
    file = Path(spec.submodule_search_locations[0]) / "metrics.py"
    file_spec = importlib.util.spec_from_file_location("_madsep_museval_metrics", file)
    if file_spec is None or file_spec.loader is None or not file.is_file():
        raise InputError(f'{file}: not found, expected in museval; pip install "madsep-jax[scores]"')
    metrics = importlib.util.module_from_spec(file_spec)
    file_spec.loader.exec_module(metrics)
    metrics.__dict__["np"] = _numpy_with_old_linalg()
    return metrics


def museval_version() -> str:
    """Return the version of museval that is installed. Raises InputError where there is none."""
    museval_metrics()
    return importlib.metadata.version("museval")


def _numpy_with_old_linalg() -> ModuleType:
    """Return NumPy with the name `np.linalg.linalg`, for museval alone.

    museval catches `np.linalg.linalg.LinAlgError` where its filters have no unique solution, then solves by
    least squares. NumPy 2.0 deprecates that name and 2.4 lacks it: such a song would end in AttributeError.
    """
    numpy, linalg = ModuleType("numpy"), ModuleType("numpy.linalg")
    numpy.__dict__.update(vars(np))
    linalg.__dict__.update(vars(np.linalg))
    linalg.__dict__["linalg"] = np.linalg
    numpy.__dict__["linalg"] = linalg
    return numpy
