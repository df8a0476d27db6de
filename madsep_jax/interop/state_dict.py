"""Whole sets of parameters, both ways."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from madsep_jax.config import DwsMaskerConfig, GruMaskerConfig, MaskerConfig, ModelConfig
from madsep_jax.errors import InputError
from madsep_jax.interop.names import Parameter, parameters

_GRU_KERNEL = "masker.rnn_enc.gru_enc.weight_ih_l0"
_DWS_KERNEL = "masker.cnn_enc.layer_1.0.depth_wise_conv.weight"
_COUNTER = "num_batches_tracked"


def from_torch(state_dict: Mapping[str, Any], *, context_frames: int = 10) -> tuple[ModelConfig, dict[str, Any]]:
    """Return the model and the variables that a published checkpoint holds.

    The architecture is read off names and shapes. What weights cannot tell is taken as the released code has it: the
    residual flipped in both axes, the CNN on the middle frames.

    Args:
        state_dict: published parameter name to array, or to anything `numpy.asarray` takes.
        context_frames: L of the sequences that the model was trained on.

    Returns:
        The config for `build_model`, and the variables for `model.apply`, in the dtype that they came in.

    Raises:
        InputError: where the names are those of no known system, or arrays are missing, left over or misshapen; the
            line lists them.
    """
    arrays = {name: np.asarray(array) for name, array in state_dict.items() if not name.endswith(_COUNTER)}
    config = _read_config(arrays, context_frames)
    expected = parameters(config)
    _check(arrays, expected, _published_shapes(config))
    flat = {parameter.path: parameter.to_ours(arrays[parameter.published]) for parameter in expected}
    return config, traverse_util.unflatten_dict(flat)


def to_torch(config: ModelConfig, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the variables of a model under their published names and shapes; the way back from `from_torch`.

    BatchNorm's counters of seen batches, which no computation here reads, are written as 0.

    Raises:
        InputError: where arrays are missing, left over or misshapen; the line lists them.
    """
    flat = {path: np.asarray(array) for path, array in traverse_util.flatten_dict(dict(variables)).items()}
    expected = parameters(config)
    paths = {parameter.path for parameter in expected}
    problems = [f"missing {'/'.join(path)}" for path in sorted(paths - set(flat))]
    problems += [f"left over {'/'.join(map(str, path))}" for path in sorted(set(flat) - paths)]
    if problems:
        raise InputError(f"variables do not fit the model: {'; '.join(problems)}")
    state_dict: dict[str, np.ndarray] = {}
    for parameter in expected:
        state_dict[parameter.published] = parameter.to_published(flat[parameter.path])
        if parameter.published.endswith("running_var"):
            state_dict[parameter.published.replace("running_var", _COUNTER)] = np.zeros((), np.int64)
    _check({k: v for k, v in state_dict.items() if not k.endswith(_COUNTER)}, expected, _published_shapes(config))
    return state_dict


def _read_config(arrays: Mapping[str, np.ndarray], context_frames: int) -> ModelConfig:
    mask_layer = arrays.get("masker.fnn.linear_layer.weight")
    if mask_layer is None or not (_GRU_KERNEL in arrays or _DWS_KERNEL in arrays):
        raise InputError(
            f"no known system: found {len(arrays)} arrays ({', '.join(sorted(arrays)[:3])} …), expected names such as "
            f"{_GRU_KERNEL} or {_DWS_KERNEL}"
        )
    kernel = arrays.get(_GRU_KERNEL, arrays.get(_DWS_KERNEL))
    axes = 2 if _GRU_KERNEL in arrays else 4
    for name, array, expected in (("masker.fnn.linear_layer.weight", mask_layer, 2), (_GRU_KERNEL, kernel, axes)):
        if array is None or array.ndim != expected:
            name = _DWS_KERNEL if expected == 4 else name
            raise InputError(f"{name} is {None if array is None else array.shape}, expected {expected} axes")
    masker: MaskerConfig
    if _GRU_KERNEL in arrays:
        reduced_bins = arrays[_GRU_KERNEL].shape[-1]
        masker = GruMaskerConfig(reduced_bins=reduced_bins, residual_flip="time_and_frequency")
    else:
        kernel_C1KK = arrays[_DWS_KERNEL]
        layers = {match[1] for name in arrays if (match := re.match(r"masker\.latent_conv\.(\d+)\.", name))}
        masker = DwsMaskerConfig(
            layers=len(layers),
            channels=kernel_C1KK.shape[0],
            kernel=kernel_C1KK.shape[-1],
            residual=any(re.match(r"masker\.latent_conv\.\d+\.layer\.", name) for name in arrays),
            input_frames="middle",
        )
    return ModelConfig(bins=mask_layer.shape[0], context_frames=context_frames, masker=masker)


def _published_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every published array, from the shapes that the model itself initialises."""
    from madsep_jax.models.shapes import variable_shapes

    flat = traverse_util.flatten_dict(variable_shapes(config))
    return {
        parameter.published: parameter.to_published(np.broadcast_to(np.float32(0), flat[parameter.path].shape)).shape
        for parameter in parameters(config)
    }


def _check(arrays: Mapping[str, np.ndarray], expected: list[Parameter], shapes: Mapping[str, tuple[int, ...]]) -> None:
    names = [parameter.published for parameter in expected]
    problems = [f"missing {name}" for name in names if name not in arrays]
    problems += [f"left over {name}" for name in sorted(set(arrays) - set(names))]
    problems += [
        f"{name} is {arrays[name].shape}, expected {shapes[name]}"
        for name in names
        if name in arrays and arrays[name].shape != shapes[name]
    ]
    if problems:
        raise InputError(f"checkpoint does not fit the model that its names describe: {'; '.join(problems)}")
