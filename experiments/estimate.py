"""How long an experiment will take, roughly: from operation counts and a short measurement of this machine."""

import time

import jax
import jax.numpy as jnp

from experiments.rows import Row
from experiments.scoring.protocols import EngineName
from madsep_jax.config import DwsMaskerConfig
from madsep_jax.cost import forward_gflop_per_second

#: A training step takes about three forward passes.
_STEP_FORWARDS = 3
#: Share of a matrix product's speed that a whole training step reaches on two CPU cores.
_DWS_SHARE = 0.20
_GRU_SHARE = 0.50
#: Seconds of one core to score a second of stereo audio at 44.1 kHz (BSSEval v4, 512-tap filters), and a song apart
#: from its length.
_SCORE_S: dict[EngineName, float] = {"jax": 0.01, "museval": 0.2}
_SONG_OVERHEAD_S: dict[EngineName, float] = {"jax": 0.1, "museval": 0.6}


def device_gflop_per_s(size: int = 1024, seconds: float = 0.3) -> float:
    """Measure the speed of a float32 matrix product on the device, GFLOP/s."""
    product = jax.jit(jnp.matmul)
    a = jnp.ones((size, size), jnp.float32)
    product(a, a).block_until_ready()
    runs, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        product(a, a).block_until_ready()
        runs += 1
    return 2 * size**3 * runs / (time.perf_counter() - start) / 1e9


def training_seconds(row: Row, steps: int, device_gflop: float) -> float:
    """Estimate the time that a row's training steps take."""
    if row.config is None:
        return 0.0
    sequences = row.config.sequences
    audio_s = row.config.training.batch_size * sequences.target_frames / row.config.signal.frames_per_second
    gflop = _STEP_FORWARDS * forward_gflop_per_second(row.config) * audio_s
    share = _DWS_SHARE if isinstance(row.config.masker, DwsMaskerConfig) else _GRU_SHARE
    return steps * gflop / (device_gflop * share)


def scoring_seconds(songs: int, audio_s: float, sample_rate: int, processes: int, engine: EngineName) -> float:
    """Estimate the time that scoring a row's test songs takes."""
    per_second = _SCORE_S[engine] * sample_rate / 44100
    return (songs * _SONG_OVERHEAD_S[engine] + audio_s * per_second) / min(processes, songs)
