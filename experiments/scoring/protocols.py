"""The protocols by which scores are read: what is computed of each window, and how it becomes one number."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from madsep_jax.errors import InputError

ProtocolName = Literal["sisec18", "paper", "usdr", "si-sdr"]
EngineName = Literal["jax", "museval"]
TargetSet = Literal["voice", "stems"]

#: How windows become one number: median over a song's windows, then over songs; median over all windows of all songs;
#: mean over songs.
Summary = Literal["median of medians", "median of all windows", "mean of songs"]


@dataclass(frozen=True)
class Protocol:
    """One way to score. Lengths are seconds; None is the whole song."""

    name: ProtocolName
    description: str
    """In words, for captions."""
    window_s: float | None
    hop_s: float | None
    summary: Summary
    metrics: tuple[str, ...] = ("SDR", "ISR", "SIR", "SAR")
    """What it has; the others are NaN in its files."""
    engines: tuple[EngineName, ...] = ("jax", "museval")

    def title(self, metric: str) -> str:
        """Return the heading of a metric's column."""
        return "SI-SDR" if self.name == "si-sdr" else metric


_ALL = (
    # F.-R. Stöter, A. Liutkus, N. Ito, The 2018 Signal Separation Evaluation Campaign (arXiv:1804.06267)
    Protocol("sisec18", "BSSEval v4, 1 s windows, median over windows then songs", 1.0, 1.0, "median of medians"),
    # P. Pyykkönen et al. (arXiv:2007.02683), after mir_eval's bss_eval_images_framewise
    Protocol(
        "paper", "BSS-eval v3 images, 30 s segments every 15 s, their median", 30.0, 15.0, "median of all windows"
    ),
    # Y. Mitsufuji et al., Music Demixing Challenge 2021 (Frontiers in Signal Processing 1, 2022)
    Protocol(
        "usdr",
        "SDR of the whole song, 10 log10 (Σ s² + 1e-7) / (Σ (s - ŝ)² + 1e-7), mean over songs",
        None,
        None,
        "mean of songs",
        ("SDR",),
        ("jax",),
    ),
    # J. Le Roux et al., SDR - Half-Baked or Well Done? (ICASSP 2019)
    Protocol(
        "si-sdr",
        "scale-invariant SDR of the whole song, 10 log10 Σ (α s)² / Σ (α s - ŝ)², α = Σ ŝ s / Σ s², mean over songs",
        None,
        None,
        "mean of songs",
        ("SDR",),
        ("jax",),
    ),
)
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def protocol_of(name: str, engine: str) -> Protocol:
    """Return a protocol by its name. Raises InputError where it, or its engine, is not known."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol {name!r}: unknown, expected one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if engine not in protocol.engines:
        raise InputError(f"engine {engine!r}: found with protocol {name}, expected {' or '.join(protocol.engines)}")
    return protocol


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
