"""Score the separated sources of one song."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from data_pipelines.songs.tracks import STEMS, TrackAudio
from experiments.scoring import jax_engine
from experiments.scoring.museval_engine import bss_eval_v4, museval_version
from experiments.scoring.protocols import EngineName, Protocol, ProtocolName, WindowScores, protocol_of
from experiments.scoring.song_scores import SongScores


def score_song(
    track_name: str,
    mixture_NC: np.ndarray,
    voice_NC: np.ndarray,
    voice_estimate_NC: np.ndarray,
    sample_rate: int,
    *,
    accompaniment_estimate_NC: np.ndarray | None = None,
    protocol: ProtocolName = "sisec18",
    engine: EngineName = "jax",
) -> SongScores:
    """Score a voice estimate against voice and accompaniment = mixture - voice.

    Differences are taken in float64. A window in which a voice, an accompaniment or an estimate of either is
    silent is NaN for both targets.

    Args:
        track_name: the song's name, kept with the scores.
        mixture_NC: the mixture's samples.
        voice_NC: the true voice.
        voice_estimate_NC: the separated voice.
        sample_rate: Hz.
        accompaniment_estimate_NC: the separated accompaniment; mixture - voice estimate when None. For the
            unprocessed mixture as the voice estimate, give the mixture here too (`references.mixture_as_voice`):
            the difference would be silent, and a silent estimate has no scores.
        protocol: which scores.
        engine: by what: `jax`, madsep_jax.bss_eval, or `museval`.

    Returns:
        SDR, ISR, SIR and SAR in dB of "vocals" and "accompaniment" in every window.

    Raises:
        ValueError: arrays not of one shape (N, C), or samples that are not finite.
        InputError: an engine that does not have the protocol, or is not installed.
    """
    mixture_NC = np.asarray(mixture_NC, np.float64)
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
        protocol=protocol,
        engine=engine,
    )


def score_sources(
    track_name: str,
    references_NC: Mapping[str, np.ndarray],
    estimates_NC: Mapping[str, np.ndarray],
    sample_rate: int,
    *,
    protocol: ProtocolName = "sisec18",
    engine: EngineName = "jax",
) -> SongScores:
    """Score estimates of any number of sources, all against all of them.

    Args:
        track_name: the song's name, kept with the scores.
        references_NC: true sources by target.
        estimates_NC: their estimates, by the same targets, of the same shape (N, C).
        sample_rate: Hz.
        protocol: which scores.
        engine: by what.

    Raises:
        ValueError: arrays not of one shape (N, C), or samples that are not finite.
        InputError: an engine that does not have the protocol, or is not installed.
    """
    how = protocol_of(protocol, engine)
    targets = list(references_NC)
    reference_SNC = np.stack([references_NC[target] for target in targets])
    estimate_SNC = np.stack([estimates_NC[target] for target in targets])
    found = score_arrays(how, engine, reference_SNC, estimate_SNC, sample_rate)
    window_s, hop_s = how.window_s, how.hop_s
    if window_s is None or hop_s is None:
        window_s = hop_s = reference_SNC.shape[1] / sample_rate
    return SongScores(
        track=track_name,
        window_s=window_s,
        hop_s=hop_s,
        targets={target: found.of_source(source) for source, target in enumerate(targets)},
        museval_version=museval_version() if engine == "museval" else "",
        protocol=protocol,
        engine=engine,
        silent_windows=_silent_windows(how, found, reference_SNC, estimate_SNC),
    )


def score_arrays(
    protocol: Protocol, engine: EngineName, reference_SNC: np.ndarray, estimate_SNC: np.ndarray, sample_rate: int
) -> WindowScores:
    """Score estimates (S, N, C) of true sources of the same shape, by a protocol that the engine has."""
    if engine == "jax":
        return jax_engine.score(protocol, reference_SNC, estimate_SNC[None], sample_rate)[0]
    assert protocol.window_s is not None
    assert protocol.hop_s is not None
    return bss_eval_v4(
        reference_SNC,
        estimate_SNC,
        sample_rate,
        window_s=protocol.window_s,
        hop_s=protocol.hop_s,
        framewise=protocol.name == "paper",
    )


def _silent_windows(
    protocol: Protocol, scores: WindowScores, reference_SNC: np.ndarray, estimate_SNC: np.ndarray
) -> int:
    """Count the windows in which a source is silent."""
    if protocol.window_s is not None:  # nothing else takes the SAR's and the SDR's place away at once
        return int((np.isnan(scores.sdr_SW) & np.isnan(scores.sar_SW)).all(0).sum())
    return int(any((source_NC == 0).all() for source_NC in (*reference_SNC, *estimate_SNC)))


def _like(mixture_NC: np.ndarray, name: str, array_NC: np.ndarray) -> np.ndarray:
    array_NC = np.asarray(array_NC, np.float64)
    if mixture_NC.ndim != 2 or array_NC.shape != mixture_NC.shape:
        raise ValueError(
            f"{name} of shape {array_NC.shape} and mixture of shape {mixture_NC.shape}: expected one shape "
            "(samples, channels)"
        )
    return array_NC


TargetSet = Literal["voice", "stems"]


def references_of(audio: TrackAudio, targets: TargetSet) -> dict[str, np.ndarray]:
    """Return the true sources of a song (N, C), in float64, by target."""
    if targets == "stems":
        return {stem: audio.stems_NC[stem].astype(np.float64) for stem in STEMS}
    voice_NC = audio.voice_NC.astype(np.float64)
    return {"vocals": voice_NC, "accompaniment": audio.mixture_NC - voice_NC}
