"""The neural couplings algorithm: a matrix that maps the mixture's spectrum to the voice's, as a trained model does.

Two forms [1]. The *compositional* one is built from the layers of an autoencoder: a square coupling matrix P for each
layer decides which of its weights count,

    S_l = relu((W_l + b_l) P_lᵀ) ⊙ W_l,    M = S_L … S_2 S_1,

and the P are fitted. W is (out, in), b is added along W's last axis. The *student* form fits M itself, to any model.
Either minimises Σ |X Mᵀ - Y|, the L1 norm over all frames, by Adam; X are the model's inputs, Y its outputs.

[1] Mimilakis, Drossos, Cano, Schuller: Examining the Mapping Functions of Denoising Autoencoders in Singing Voice
Separation, IEEE/ACM TASLP 28, 2020 (arXiv:1904.06157).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from madsep_jax.config.couplings import CouplingsConfig
from madsep_jax.errors import InputError, require

#: Steps that are compiled into one call; between calls the progress is reported.
_STEPS_PER_CALL = 10


class Layer(NamedTuple):
    """One linear layer of a model, in the orientation of the papers: y = W x + b."""

    weight_FF: ArrayLike
    """W: (out, in), the transpose of a Flax kernel."""
    bias_F: ArrayLike


@dataclass(frozen=True)
class CouplingsFit:
    """A fitted mapping. Row f of a mapping says from which bins of the mixture bin f of the voice is made."""

    mapping_FF: jax.Array
    """M after the last update: (voice, mixture). A frame's estimate is M x."""
    start_FF: jax.Array
    """M before the first update."""
    matrices: tuple[jax.Array, ...]
    """What was fitted: the couplings P of each layer, first layer first; or M alone."""
    history_K: np.ndarray
    """The L1 norm before each update and after the last: K = steps + 1 values. (The published implementation returns
    the mapping of its last forward pass, which is the one before the last update.)"""

    @property
    def l1(self) -> float:
        """The L1 norm of the error of `mapping_FF`, summed over frames and bins."""
        return float(self.history_K[-1])


def scaled_layer(layer: Layer, coupling_FF: ArrayLike) -> jax.Array:
    """Return S = relu((W + b) Pᵀ) ⊙ W: (out, in)."""
    weight_FF, coupling_FF = jnp.asarray(layer.weight_FF), jnp.asarray(coupling_FF)
    biased_FF = weight_FF + jnp.asarray(layer.bias_F)[None, :]
    return jax.nn.relu(biased_FF @ coupling_FF.T) * weight_FF


def compositional_mapping(layers: Sequence[Layer], couplings: Sequence[ArrayLike]) -> jax.Array:
    """Return M = S_L … S_1 of an autoencoder's layers, first layer first, and a coupling matrix for each."""
    scaled = [scaled_layer(layer, coupling_FF) for layer, coupling_FF in zip(layers, couplings, strict=True)]
    return functools.reduce(lambda mapping_FF, scaled_FF: scaled_FF @ mapping_FF, scaled)


def map_frames(mapping_FF: ArrayLike, input_NF: ArrayLike) -> jax.Array:
    """Return X Mᵀ: each frame mapped."""
    return jnp.asarray(input_NF) @ jnp.asarray(mapping_FF).T


def fit_couplings(
    layers: Sequence[Layer],
    input_NF: ArrayLike,
    output_NF: ArrayLike,
    config: CouplingsConfig,
    *,
    couplings: Sequence[ArrayLike] | None = None,
    on_steps: Callable[[int, float], None] = lambda done, l1: None,
) -> CouplingsFit:
    """Fit the compositional form to a model's inputs and outputs.

    A step takes 4·L·F³ multiply-adds at least, L being the layers: for F = 2049, a second or two of two CPU cores.

    Args:
        layers: of the trained autoencoder, first layer first; all F by F.
        input_NF: magnitudes of N frames that the model read.
        output_NF: what it made of them (for skip filtering the filtered mixture, not the mask).
        config: its form must be `compositional`.
        couplings: where to start from, in place of `config.initial`.
        on_steps: called now and then with the number of steps done and the L1 norm before the last of them.

    Raises:
        InputError: where shapes do not fit together, or the config is of the other form.
    """
    bins = _check_frames("compositional", config, input_NF, output_NF)
    for number, layer in enumerate(layers):
        _check_shape(f"layer {number} weight", layer.weight_FF, (bins, bins))
        _check_shape(f"layer {number} bias", layer.bias_F, (bins,))
    if not layers:
        raise InputError("layers: found none, expected at least one")
    return _fit(tuple(layers), input_NF, output_NF, config, couplings, on_steps)


def fit_student(
    input_NF: ArrayLike,
    output_NF: ArrayLike,
    config: CouplingsConfig,
    *,
    mapping_FF: ArrayLike | None = None,
    on_steps: Callable[[int, float], None] = lambda done, l1: None,
) -> CouplingsFit:
    """Fit the student form, one F×F matrix, to the inputs and outputs of any model; see `fit_couplings`.

    Raises:
        InputError: where shapes do not fit together, or the config is of the other form.
    """
    _check_frames("student", config, input_NF, output_NF)
    return _fit((), input_NF, output_NF, config, None if mapping_FF is None else [mapping_FF], on_steps)


def _fit(
    layers: tuple[Layer, ...],
    input_NF: ArrayLike,
    output_NF: ArrayLike,
    config: CouplingsConfig,
    start: Sequence[ArrayLike] | None,
    on_steps: Callable[[int, float], None],
) -> CouplingsFit:
    input_NF, output_NF = jnp.asarray(input_NF), jnp.asarray(output_NF)
    layers = jax.tree.map(jnp.asarray, layers)
    bins, count = input_NF.shape[1], len(layers) or 1
    matrices = initial_matrices(config, count, bins, input_NF.dtype) if start is None else tuple(map(jnp.array, start))
    if (found := [matrix_FF.shape for matrix_FF in matrices]) != count * [(bins, bins)]:
        raise InputError(f"initial matrices: found shapes {found}, expected {count} of {(bins, bins)}")
    start_FF = jnp.array(_mapping(layers, matrices))  # a copy: the first call takes the matrices' buffers
    state = _FitState(matrices, optax.adam(config.learning_rate).init(matrices))
    history: list[np.ndarray] = []
    for done in range(0, config.steps, _STEPS_PER_CALL):
        steps = min(_STEPS_PER_CALL, config.steps - done)
        state, before_K = _advance(state, layers, input_NF, output_NF, steps, config.learning_rate)
        history.append(np.asarray(before_K))
        on_steps(done + steps, float(before_K[-1]))
    history.append(np.asarray(_l1(state.matrices, layers, input_NF, output_NF))[None])
    return CouplingsFit(_mapping(layers, state.matrices), start_FF, state.matrices, np.concatenate(history))


def initial_matrices(
    config: CouplingsConfig, count: int, bins: int, dtype: jnp.dtype = jnp.float32
) -> tuple[jax.Array, ...]:
    """Return so many F×F matrices to start from."""
    if config.initial != "normal":
        return tuple(jnp.eye(bins, dtype=dtype) * (config.initial == "identity") for _ in range(count))
    keys = jax.random.split(jax.random.key(config.seed), count)
    return tuple(jax.random.normal(key, (bins, bins), dtype) / math.sqrt(bins) for key in keys)


class _FitState(NamedTuple):
    matrices: tuple[jax.Array, ...]
    optimizer: optax.OptState


@functools.partial(jax.jit, static_argnames=("steps", "learning_rate"), donate_argnames="state")
def _advance(
    state: _FitState,
    layers: tuple[Layer, ...],
    input_NF: jax.Array,
    output_NF: jax.Array,
    steps: int,
    learning_rate: float,
) -> tuple[_FitState, jax.Array]:
    """Do so many updates; return also the L1 norm before each."""
    optimizer = optax.adam(learning_rate)

    def step(state: _FitState, _: None) -> tuple[_FitState, jax.Array]:
        l1, gradient = jax.value_and_grad(_l1)(state.matrices, layers, input_NF, output_NF)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer)
        return _FitState(optax.apply_updates(state.matrices, updates), optimizer_state), l1

    return jax.lax.scan(step, state, length=steps)


@jax.jit
def _l1(
    matrices: tuple[jax.Array, ...], layers: tuple[Layer, ...], input_NF: jax.Array, output_NF: jax.Array
) -> jax.Array:
    """Return Σ |X Mᵀ - Y|. The frames pass through layer after layer: less work than the product of the layers."""
    scaled = [scaled_layer(*pair) for pair in zip(layers, matrices, strict=True)] if layers else matrices
    return jnp.sum(jnp.abs(functools.reduce(lambda x_NF, scaled_FF: x_NF @ scaled_FF.T, scaled, input_NF) - output_NF))


@jax.jit
def _mapping(layers: tuple[Layer, ...], matrices: tuple[jax.Array, ...]) -> jax.Array:
    return compositional_mapping(layers, matrices) if layers else matrices[0]


def _check_frames(form: str, config: CouplingsConfig, input_NF: ArrayLike, output_NF: ArrayLike) -> int:
    """Return the number of bins. Raises InputError where the frames are none, or the config is of another form."""
    require(config.form == form, config, "form", f"{form!r} for this fit")
    shape = np.shape(input_NF)
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"input_NF: found shape {shape}, expected frames of spectra (N, F)")
    _check_shape("output_NF", output_NF, shape)
    return shape[1]


def _check_shape(name: str, array: ArrayLike, expected: tuple[int, ...]) -> None:
    if np.shape(array) != expected:
        raise InputError(f"{name}: found shape {np.shape(array)}, expected {expected}")
