"""Score the separated sources of one song, by `madsep_jax.bss_eval` or by museval."""

from collections.abc import Mapping

import jax
import numpy as np

from data_pipelines.songs.tracks import STEMS, TrackAudio
from experiments.scoring.museval_engine import bss_eval_v4, museval_version
from experiments.scoring.protocols import EngineName, Protocol, ProtocolName, TargetSet, WindowScores, protocol_of
from experiments.scoring.song_scores import SongScores
from madsep_jax import bss_eval
from madsep_jax.ops.precision import double_precision, double_precision_device

_WHOLE_SONG = {"usdr": jax.jit(bss_eval.sdr), "si-sdr": jax.jit(bss_eval.si_sdr)}


def score_song(
    track_name: str,
    mixture_NC: np.ndarray,
    voice_NC: np.ndarray,
    voice_estimate_NC: np.ndarray,
    sample_rate: int,
    *,
    accompaniment_estimate_NC: np.ndarray | None = None,
    engine: EngineName = "jax",
) -> SongScores:
    """Score a voice estimate against voice and accompaniment = mixture - voice, as `score_sources` does, by sisec18.

    Differences are taken in float64. A window in which a voice, an accompaniment or an estimate of either is
    silent is NaN for both targets, "vocals" and "accompaniment". The accompaniment's estimate, where it is None, is
    mixture - voice estimate. For the unprocessed mixture as the voice estimate, give the mixture here too
    (`estimators.mixture_as_voice`): the difference would be silent, and a silent estimate has no scores.
    """
    mixture_NC = _in_double("mixture", mixture_NC)
    voice_NC = _like(mixture_NC, "voice", voice_NC)
    voice_estimate_NC = _like(mixture_NC, "voice estimate", voice_estimate_NC)
    if accompaniment_estimate_NC is None:
        accompaniment_estimate_NC = mixture_NC - voice_estimate_NC
    accompaniment_estimate_NC = _like(mixture_NC, "accompaniment estimate", accompaniment_estimate_NC)
    return score_sources(
        track_name,
        {"vocals": voice_NC, "accompaniment": mixture_NC - voice_NC},
        {"vocals": voice_estimate_NC, "accompaniment": accompaniment_estimate_NC},
        sample_rate,
        "sisec18",
        engine,
    )


def score_sources(
    track_name: str,
    references_NC: Mapping[str, np.ndarray],
    estimates_NC: Mapping[str, np.ndarray],
    sample_rate: int,
    protocol: ProtocolName,
    engine: EngineName,
) -> SongScores:
    """Score estimates (N, C) of any number of sources by target, all against all of them.

    SDR, ISR, SIR and SAR are in dB, of every target in every window. Samples are floating-point, or integers as of
    sound files (`bss_eval.as_samples`). Raises ValueError for targets that differ, arrays not of one shape (N, C), or
    samples that are not finite; InputError for an engine that does not have the protocol, or is not installed.
    """
    how = protocol_of(protocol, engine)
    if set(references_NC) != set(estimates_NC):
        raise ValueError(f"estimates of {sorted(estimates_NC)}: expected {sorted(references_NC)}, as the references")
    reference_SNC = _stacked("reference", references_NC)
    estimate_SNC = _stacked("estimate", {target: estimates_NC[target] for target in references_NC})
    found = score_arrays(how, engine, reference_SNC, estimate_SNC, sample_rate)
    window_s, hop_s = how.window_s, how.hop_s
    if window_s is None or hop_s is None:
        window_s = hop_s = reference_SNC.shape[1] / sample_rate
    return SongScores(
        track=track_name,
        window_s=window_s,
        hop_s=hop_s,
        targets={target: found.of_source(source) for source, target in enumerate(references_NC)},
        museval_version=museval_version() if engine == "museval" else "",
        protocol=protocol,
        engine=engine,
        silent_windows=_silent_windows(how, found, reference_SNC, estimate_SNC),
    )


def score_arrays(
    protocol: Protocol, engine: EngineName, reference_SNC: np.ndarray, estimate_SNC: np.ndarray, sample_rate: int
) -> WindowScores:
    """Score estimates (S, N, C) of true sources of the same shape, by a protocol that the engine has.

    A window in which a source is silent is NaN for all sources; the protocols of whole songs have a score of a silent
    source too, as they are defined. An accelerator that has no float64 leaves it to the host's CPU.

    Raises:
        InputError: where JAX has been told not to use that.
    """
    window_s, hop_s, of_segments = protocol.window_s, protocol.hop_s, protocol.name == "paper"
    if window_s is None or hop_s is None:
        return _score_whole(protocol, reference_SNC, estimate_SNC)
    if engine == "museval":
        lengths = {"window_s": window_s, "hop_s": hop_s}
        return bss_eval_v4(reference_SNC, estimate_SNC, sample_rate, **lengths, framewise=of_segments)
    song, device = bss_eval.Song.of(reference_SNC, estimate_SNC[None]), double_precision_device()
    window, hop = int(window_s * sample_rate), int(hop_s * sample_rate)
    windows = bss_eval.Windows.of_song(song.samples, window, hop)
    if of_segments:
        if windows.count < 2:  # mir_eval scores the whole of such a song
            windows = bss_eval.Windows.of_song(song.samples, np.inf, np.inf)
        ratios = bss_eval.score_segments(song, windows, bss_eval.FILTER_TAPS, device)
    else:
        [ratios] = bss_eval.score_windows([song], window=window, hop=hop, taps=bss_eval.FILTER_TAPS, device=device)
    return WindowScores(*(ratio_ESW[0] for ratio_ESW in ratios))


def _score_whole(protocol: Protocol, reference_SNC: np.ndarray, estimate_SNC: np.ndarray) -> WindowScores:
    song, ratio = bss_eval.Song.of(reference_SNC, estimate_SNC[None]), _WHOLE_SONG[protocol.name]
    pairs = zip(song.reference_SNC, song.estimate_ESNC[0], strict=True)
    with double_precision(), jax.default_device(double_precision_device()):
        # source by source: no more than two signals at a time in double precision
        sdr_S1 = np.array([[ratio(true_NC.astype(float), found_NC.astype(float))] for true_NC, found_NC in pairs])
    missing_S1 = np.full_like(sdr_S1, np.nan)
    return WindowScores(sdr_S1, missing_S1, missing_S1, missing_S1)


def _silent_windows(
    protocol: Protocol, scores: WindowScores, reference_SNC: np.ndarray, estimate_SNC: np.ndarray
) -> int:
    """Count the windows in which a source is silent."""
    if protocol.window_s is not None:  # nothing else takes the SAR's and the SDR's place away at once
        return int((np.isnan(scores.sdr_SW) & np.isnan(scores.sar_SW)).all(0).sum())
    return int(any((source_NC == 0).all() for source_NC in (*reference_SNC, *estimate_SNC)))


def _in_double(name: str, array_NC: np.ndarray) -> np.ndarray:
    return np.asarray(bss_eval.as_samples(name, array_NC), np.float64)


def _stacked(name: str, sources_NC: Mapping[str, np.ndarray]) -> np.ndarray:
    found = {target: np.asarray(bss_eval.as_samples(f"{name} {target}", x)) for target, x in sources_NC.items()}
    if len({source_NC.shape for source_NC in found.values()}) != 1:
        shapes = ", ".join(f"{target} {source_NC.shape}" for target, source_NC in found.items())
        raise ValueError(f"{name}s of shapes {shapes}: expected one shape (samples, channels)")
    return np.stack(list(found.values()))


def _like(mixture_NC: np.ndarray, name: str, array_NC: np.ndarray) -> np.ndarray:
    array_NC = _in_double(name, array_NC)
    if mixture_NC.ndim != 2 or array_NC.shape != mixture_NC.shape:
        raise ValueError(
            f"{name} of shape {array_NC.shape} and mixture of shape {mixture_NC.shape}: expected one shape "
            "(samples, channels)"
        )
    return array_NC


def references_of(audio: TrackAudio, targets: TargetSet) -> dict[str, np.ndarray]:
    """Return the true sources of a song (N, C), in float64, by target."""
    if targets == "stems":
        return {stem: audio.stems_NC[stem].astype(np.float64) for stem in STEMS}
    voice_NC = audio.voice_NC.astype(np.float64)
    return {"vocals": voice_NC, "accompaniment": audio.mixture_NC - voice_NC}
