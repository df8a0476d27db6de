"""What is scored (songs of a folder, and a made-up one), in this process or a new one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.embedded.songs import EmbeddedConfig, embedded_tracks
from data_pipelines.songs.layouts import find_tracks
from data_pipelines.songs.tracks import Track
from experiments.benchmarks.evaluation_speed.options import Case
from experiments.benchmarks.new_process import run_together
from experiments.benchmarks.rounds import timed
from experiments.data.options import EMBEDDED
from experiments.scoring.protocols import EngineName, ProtocolName, TargetSet, WindowScores, protocol_of
from experiments.scoring.score_song import references_of, score_arrays
from madsep_jax.host.memory import process_memory
from madsep_jax.ops.choice import kind_of
from madsep_jax.ops.precision import double_precision_device

SAMPLE_RATE = 44100


@dataclass(frozen=True, eq=False)
class ScoredSong:
    """True sources, and estimates of them: float32 (S, N, C), as files hold them."""

    name: str
    reference_SNC: np.ndarray
    estimate_SNC: np.ndarray
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Length."""
        return self.reference_SNC.shape[1] / self.sample_rate


def made_up_song(seconds: float) -> ScoredSong:
    """Return a stereo song of coloured noises, which are never silent, and estimates that leak into each other."""
    random = np.random.default_rng(0)
    white_SNC = random.standard_normal((2, round(seconds * SAMPLE_RATE) + 1, 2), np.float32)
    reference_SNC = 0.05 * (white_SNC[:, 1:] + 0.8 * white_SNC[:, :-1])
    reference_SNC[..., 1] += 0.5 * reference_SNC[..., 0]
    return _with_estimates(f"{seconds:g} s of noises", reference_SNC, SAMPLE_RATE, random)


def songs_of(data: str, targets: TargetSet, case: Case) -> list[ScoredSong]:
    """Return all songs of a folder, or the embedded ones to test on, with estimates of a kind."""
    tracks = embedded_tracks(EmbeddedConfig(train_songs=0)) if data == EMBEDDED else find_tracks(Path(data))
    return [_song_of(track, targets, case) for track in tracks]


def _song_of(track: Track, targets: TargetSet, case: Case) -> ScoredSong:
    audio = track.read()
    reference_SNC = np.stack(list(references_of(audio, targets).values()))
    return _with_estimates(track.name, reference_SNC, audio.sample_rate, np.random.default_rng(0), case)


_OFFSET = 0.02
_SHORT_S = 0.5


def _with_estimates(
    name: str, reference_SNC: np.ndarray, sample_rate: int, random: np.random.Generator, case: Case = "leaking"
) -> ScoredSong:
    reference_SNC = reference_SNC.astype(np.float32)
    if case == "short":
        first = reference_SNC.shape[1] // 3  # where all sources sound
        reference_SNC = reference_SNC[:, first : first + round(_SHORT_S * sample_rate)]
    if case == "offset":
        reference_SNC = reference_SNC + np.float32(_OFFSET)
    if case == "swapped":
        return ScoredSong(name, reference_SNC, np.roll(reference_SNC, 1, axis=0), sample_rate)
    if case == "perfect":
        return ScoredSong(name, reference_SNC, reference_SNC.copy(), sample_rate)
    estimate_SNC = 0.9 * reference_SNC + 0.1 * reference_SNC[::-1]
    estimate_SNC += 0.003 * random.standard_normal(reference_SNC.shape, np.float32)
    if case == "silent":
        estimate_SNC[-1] = 0
    return ScoredSong(name, reference_SNC, estimate_SNC, sample_rate)


def score(song: ScoredSong, engine: EngineName, protocol: ProtocolName) -> WindowScores:
    """Score a song, whose samples each engine converts to double precision itself."""
    how = protocol_of(protocol, engine)
    return score_arrays(how, engine, song.reference_SNC, song.estimate_SNC, song.sample_rate)


def score_in_new_process(protocol: ProtocolName, seconds: float) -> dict[str, float]:
    """Score a made-up song of so many seconds in a new process, without a compilation cache, and do nothing else.

    Returns what `first_calls` does. A TPU, which this process alone can use, is left out.
    """
    on_cpu = {"JAX_PLATFORMS": "cpu"} if kind_of(double_precision_device()) == "cpu" else {}
    return run_together(first_calls, [{"protocol": protocol, "seconds": seconds}], [on_cpu])[0]


def first_calls(protocol: ProtocolName, seconds: float) -> dict[str, float]:
    """Score a made-up song of so many seconds by JAX, twice.

    Returns:
        `peak_bytes`, resident memory at its most, once the song has been scored; `first_s`, seconds of scoring it for
        the first time, compilation included; `again_s`, of scoring it once more.
    """
    song = made_up_song(seconds)
    _, first_s = timed(lambda: score(song, "jax", protocol))
    peak = process_memory().peak
    _, again_s = timed(lambda: score(song, "jax", protocol))
    return {"peak_bytes": peak, "first_s": first_s, "again_s": again_s}


_NOISE_DB = 120.0


def largest_difference_db(a: WindowScores, b: WindowScores) -> float:
    """Return the largest difference of any score, in dB; those above 120 dB, which are rounding's, count as 120.

    Raises RuntimeError where the NaN patterns differ.
    """
    a_MSW, b_MSW = (np.minimum(_values(scores), _NOISE_DB) for scores in (a, b))
    if (np.isnan(a_MSW) != np.isnan(b_MSW)).any():
        raise RuntimeError("the engines do not agree on which windows have scores")
    finite_MSW = np.isfinite(a_MSW) & np.isfinite(b_MSW)
    return float(np.abs(a_MSW[finite_MSW] - b_MSW[finite_MSW]).max(initial=0.0))


def _values(scores: WindowScores) -> np.ndarray:
    return np.stack([scores.sdr_SW, scores.isr_SW, scores.sir_SW, scores.sar_SW])
