"""What the tests share: systems small enough to compile in seconds, double precision, and the reference files.

The files in `reference/` hold small float64 cases of the published implementations, made with the released code's
choices: residual flipped in both axes, CNN on the middle frames.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax import (
    DwsMaskerConfig,
    GruMaskerConfig,
    RunConfig,
    SequenceConfig,
    SignalConfig,
    TrainingConfig,
    build_model,
)

SIGNAL = SignalConfig(sample_rate=8000, window_length=65, hop_length=12, fft_length=160)  # 81 bins
SEQUENCES = SequenceConfig(frames=8, context=2)
GRU = RunConfig(
    signal=SIGNAL,
    sequences=SEQUENCES,
    masker=GruMaskerConfig(reduced_bins=9),
    training=TrainingConfig(batch_size=2, learning_rate=1e-2),
)
DWS = RunConfig(
    signal=SIGNAL,
    sequences=SEQUENCES,
    masker=DwsMaskerConfig(layers=1, channels=8, kernel=3, dropout=0.3),
    training=TrainingConfig(batch_size=2, learning_rate=1e-2),
)


def enable_float64() -> AbstractContextManager[None]:
    """Double precision inside a `with`, by whichever name this JAX has for it."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64(True)


def reference(name: str) -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "reference" / f"{name}.npz") as arrays:
        return dict(arrays)


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def magnitudes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.5, 1.0, shape).astype(np.float32)


def encoder_states(model, variables, mag_BSF):
    """What the GRU masker's encoder hands to the decoder: (B, T, 2R)."""
    _, captured = model.apply(variables, mag_BSF, capture_intermediates=lambda _, method: method == "encode")
    return captured["intermediates"]["masker"]["encode"][0]


def assert_close(found, expected, tolerance: float) -> None:
    """Assert that two arrays are of one shape, and their largest difference is within a share of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale if scale else tolerance)


def open_masks(config):
    """Random variables of a system of GRUs, but for the biases of both its masks, which open them."""
    mag_BSF = jnp.zeros((1, config.sequences.frames, config.signal.bins))
    variables = jax.jit(build_model(config.model).init)(jax.random.key(0), mag_BSF)
    for layer in (variables["params"]["masker"]["mask_layer"], variables["params"]["denoiser"]["decoder"]):
        layer["bias"] += 0.7
    return variables
