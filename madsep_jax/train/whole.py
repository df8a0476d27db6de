"""A training from its first step to its last, in one call."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from madsep_jax.config.run import RunConfig
from madsep_jax.train.batch import Batch, WaveformBatch, energy_of
from madsep_jax.train.running import fit
from madsep_jax.train.step import compile_train_step, init_state


class Trained(NamedTuple):
    """What a training leaves: the arguments of `madsep_jax.Separator`."""

    config: RunConfig
    variables: Mapping[str, Any]
    """The weights, for `madsep_jax.build_model(config.model).apply`."""
    level: float | None
    """Root mean square of the mixtures, ±1 being full scale, zeros left out; None where they are silent."""


def train(
    config: RunConfig,
    batches: Iterable[Batch | WaveformBatch],
    *,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, metrics: None,
) -> Trained:
    """Train a separator from the start, a step a batch, but no more than `training.steps`.

    >>> import numpy as np
    >>> from madsep_jax import GruMaskerConfig, RunConfig, Separator, SequenceConfig, SignalConfig
    >>> from madsep_jax.train import WaveformBatch, train
    >>> config = RunConfig(
    ...     signal=SignalConfig(sample_rate=8000, window_length=65, hop_length=12, fft_length=160),
    ...     sequences=SequenceConfig(frames=8, context=2),
    ...     masker=GruMaskerConfig(reduced_bins=9),
    ... )
    >>> samples, frames_B2 = 7 * 12 + 65, np.array([[0, 8], [0, 8]], np.int32)
    >>> noise = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 2, samples, 1)).astype(np.float32)
    >>> batches = [WaveformBatch(mix_BNC, mix_BNC / 2, frames_B2) for mix_BNC in noise]
    >>> trained = train(config, batches, on_step=lambda step, metrics: print(step, metrics["loss"] > 0))
    1 True
    2 True
    3 True
    >>> separator = Separator(*trained)

    For more than that (checkpoints, validation, several devices) compile and run the step itself:
    `madsep_jax.train.compile_train_step`, `madsep_jax.train.fit`.

    Args:
        config: all settings, the seed included.
        batches: magnitudes or samples, all of the first one's shapes; NumPy's or JAX's.
        on_step: called in order with each step's number, from 1, and its metrics by name, once they are there.

    Raises:
        ValueError: no batches, or one of other shapes.
        NonFiniteLossError: after a step with a loss that is NaN or infinite.
    """
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        raise ValueError("batches: found none, expected one a step")
    if isinstance(first, Batch):
        _check_magnitudes(first, config)
    shapes, energies = _shapes(first), [(0.0, 0)]

    def heard() -> Iterator[Batch | WaveformBatch]:
        for batch in itertools.islice(itertools.chain([first], iterator), config.training.steps):
            if _shapes(batch) != shapes:
                raise ValueError(f"batches: found one of shapes {_shapes(batch)}, expected {shapes}, as of the first")
            energies.append(energy_of(batch, config.signal))
            yield batch

    state = init_state(config)
    step, _ = compile_train_step(config, state, first)
    state = fit(state, step, heard(), on_step)
    energy, samples = (sum(found) for found in zip(*energies, strict=True))
    return Trained(config, state.variables, float(np.sqrt(energy / samples)) if energy else None)


def _shapes(batch: Batch | WaveformBatch) -> list[tuple[int, ...]]:
    return [np.shape(array) for array in batch]


def _check_magnitudes(batch: Batch, config: RunConfig) -> None:
    cut, bins = config.sequences, config.signal.bins
    size = np.shape(batch.mix_BSF)[:1]
    expected = [(*size, cut.frames, bins), (*size, cut.target_frames, bins)]
    if _shapes(batch) != expected:
        raise ValueError(f"batches: found magnitudes of shapes {_shapes(batch)}, expected {expected}")
