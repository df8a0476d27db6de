"""Whole sets of parameters, both ways."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from madsep_jax.config.maskers import DwsMaskerConfig, GruMaskerConfig, MaskerConfig
from madsep_jax.config.run import ModelConfig
from madsep_jax.errors import InputError
from madsep_jax.interop.names import Parameter, parameters
from madsep_jax.models.variables import variable_shapes

_GRU_KERNEL = "masker.rnn_enc.gru_enc.weight_ih_l0"
_DWS_KERNEL = "masker.cnn_enc.layer_1.0.depth_wise_conv.weight"
_MASK_LAYER = "masker.fnn.linear_layer.weight"

#: In front of the names of a TwinNet's MaD part.
_TWINNET = "mad."
_COUNTER = "num_batches_tracked"


def from_torch(state_dict: Mapping[str, Any], *, context_frames: int = 10) -> tuple[ModelConfig, dict[str, Any]]:
    """Return the model and the variables that a published checkpoint holds, for `build_model` and `model.apply`.

    The variables keep the dtype that they came in. The architecture is read off names and shapes. What weights cannot
    tell is taken as the released code has it: the residual and the twin's states flipped in both axes, the CNN on the
    middle frames, no recurrent inference.

    Args:
        state_dict: published parameter name to array, or to anything `numpy.asarray` takes. MaD, MaD TwinNet (names
            with `mad.`, `twin_net.` and `affine.` in front; the `mad.` ones alone are a MaD) or a DWS-CNN, residual
            or not. For MaD saved in four parts see `join_parts`.
        context_frames: L of the sequences that the model was trained on.

    Raises:
        InputError: where the names are those of no known system, or arrays are missing, left over or misshapen; the
            line lists them.
    """
    arrays = {name: np.asarray(array) for name, array in state_dict.items() if not name.endswith(_COUNTER)}
    if all(name.startswith(_TWINNET) for name in arrays):
        arrays = {name.removeprefix(_TWINNET): array for name, array in arrays.items()}
    config = _read_config(arrays, context_frames)
    expected = parameters(config)
    _check(arrays, expected, _published_shapes(config))
    return config, traverse_util.unflatten_dict(_stacked(arrays, expected))


def to_torch(config: ModelConfig, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the variables of a model under their published names and shapes; the way back from `from_torch`.

    BatchNorm's counters of seen batches, which no computation here reads, are written as 0.

    Raises:
        InputError: where the system has no published names, or arrays are missing, left over or misshapen; the line
            lists them.
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
        array = flat[parameter.path] if parameter.layer is None else _of_layer(flat[parameter.path], parameter)
        state_dict[parameter.published] = parameter.to_published(array)
        if parameter.published.endswith("running_var"):
            state_dict[parameter.published.replace("running_var", _COUNTER)] = np.zeros((), np.int64)
    _check({k: v for k, v in state_dict.items() if not k.endswith(_COUNTER)}, expected, _published_shapes(config))
    return state_dict


def _stacked(arrays: Mapping[str, np.ndarray], expected: list[Parameter]) -> dict[tuple[str, ...], np.ndarray]:
    """Return our arrays by path, those of equal blocks stacked."""
    flat: dict[tuple[str, ...], np.ndarray] = {}
    layers: dict[tuple[str, ...], list[np.ndarray]] = {}
    for parameter in expected:
        array = parameter.to_ours(arrays[parameter.published])
        if parameter.layer is None:
            flat[parameter.path] = array
        else:
            layers.setdefault(parameter.path, []).append(array)
    return flat | {path: np.stack(parts) for path, parts in layers.items()}


def _of_layer(array_L: np.ndarray, parameter: Parameter) -> np.ndarray:
    if parameter.layer is None or array_L.ndim == 0 or parameter.layer >= len(array_L):
        raise InputError(f"{'/'.join(parameter.path)} is {array_L.shape}, expected a block {parameter.layer} in it")
    return array_L[parameter.layer]


def _read_config(arrays: Mapping[str, np.ndarray], context_frames: int) -> ModelConfig:
    prefix = _TWINNET if any(name.startswith(_TWINNET) for name in arrays) else ""
    gru_kernel, dws_kernel = arrays.get(prefix + _GRU_KERNEL), arrays.get(_DWS_KERNEL)
    mask_layer = arrays.get(prefix + _MASK_LAYER)
    if mask_layer is None or (gru_kernel is None and dws_kernel is None):
        raise InputError(
            f"no known system: found {len(arrays)} arrays ({', '.join(sorted(arrays)[:3])} …), expected names such as "
            f"{_MASK_LAYER} with {_GRU_KERNEL} or {_DWS_KERNEL}"
        )
    for name, array, axes in ((_MASK_LAYER, mask_layer, 2), (_GRU_KERNEL, gru_kernel, 2), (_DWS_KERNEL, dws_kernel, 4)):
        if array is not None and (array.ndim != axes or array.size == 0):
            raise InputError(f"{name} is {array.shape}, expected {axes} axes")
    masker: MaskerConfig
    if gru_kernel is not None:
        masker = GruMaskerConfig(
            reduced_bins=gru_kernel.shape[-1],
            residual_flip="time_and_frequency",
            twin=bool(prefix),
            twin_flip="time_and_frequency",
        )
    else:
        assert dws_kernel is not None
        layers = {match[1] for name in arrays if (match := re.match(r"masker\.latent_conv\.(\d+)\.", name))}
        masker = DwsMaskerConfig(
            layers=len(layers),
            channels=dws_kernel.shape[0],
            kernel=dws_kernel.shape[-1],
            residual=any(re.match(r"masker\.latent_conv\.\d+\.layer\.", name) for name in arrays),
            input_frames="middle",
        )
    return ModelConfig(bins=mask_layer.shape[0], context_frames=context_frames, masker=masker)


def _published_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every published array, from the shapes that the model itself initialises."""
    flat = traverse_util.flatten_dict(variable_shapes(config))
    shapes = {}
    for parameter in parameters(config):
        shape = flat[parameter.path].shape[0 if parameter.layer is None else 1 :]
        shapes[parameter.published] = parameter.to_published(np.broadcast_to(np.float32(0), shape)).shape
    return shapes


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
