"""How far a stream's results lag behind it."""

import math
from typing import NamedTuple

from madsep_jax.audio.resampling import RESAMPLER_LAG
from madsep_jax.config.run import RunConfig


class Latency(NamedTuple):
    """How far what comes out of a stream lags behind what goes in.

    A sample is out, at the latest, with the block that brings so many samples from it on, itself included.
    """

    frames: int
    """Hops of the model's transform, rounded up."""
    samples: int
    """At the rate of the stream."""
    seconds: float


def latency_of(config: RunConfig, sample_rate: int, sequences: int) -> Latency:
    """Return the latency of `madsep_jax.separation.separate_blocks` with `at_once`, at a rate in Hz.

    The model gives the frames of its sequences together and needs L frames after them: the first sample waits for the
    last of these, which is complete after (k·T + L - 1) · hop + window samples, with k sequences of T target frames. At
    another rate than the model's the filters of two resamplers come on top.
    """
    signal, cut = config.signal, config.sequences
    samples = (sequences * cut.target_frames + cut.context - 1) * signal.hop_length + signal.window_length
    seconds = samples / signal.sample_rate
    if sample_rate != signal.sample_rate:
        seconds += 2 * RESAMPLER_LAG / min(sample_rate, signal.sample_rate)
        samples = math.ceil(seconds * sample_rate)
    return Latency(math.ceil(seconds * signal.frames_per_second), samples, seconds)
