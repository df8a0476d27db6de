"""From a system's name to its configuration; of a masker of somebody's own, what is checked before it is used."""

import functools
import inspect
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.errors import FlaxError

from madsep_jax.config.io import override
from madsep_jax.config.own import OwnConfig, is_own, parse_name
from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.config.systems import fields_of
from madsep_jax.errors import InputError, first_line, some_of
from madsep_jax.models.outside import load_code, make_module, of_own

_COLLECTIONS = ("params", "batch_stats")


def load_system(system: str, accept_changed: bool = False) -> None:
    """Run the code of a system of somebody's own, see `load_code`; of another one there is none to run."""
    if is_own(system):
        load_code(parse_name(system).code, accept_changed)


def config_of(system: str, base: RunConfig, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """Return the base configuration with all that a system sets in it, and then these changes, by dotted names.

    The code of a system of somebody's own is run, and checked.

    Raises:
        InputError: on an unknown name, a value that cannot be, or a masker that breaks the contract.
    """
    load_system(system)
    config = override(base, {**fields_of(system, base), **(changes or {})})
    if isinstance(config.masker, OwnConfig):
        check_contract(config.model, config.sequences.frames)
    return config


@functools.cache
def check_contract(model: ModelConfig, frames: int) -> None:
    """Check a masker of somebody's own on two sequences of so many frames, one of noise and one of silence.

    Raises:
        InputError: what was found, and what is expected. What its code raises itself comes through.
    """
    masker = model.masker
    assert isinstance(masker, OwnConfig)
    module, source = make_module(masker, model.context_frames), masker.source
    noise_SF = np.random.default_rng(0).gamma(0.5, 1.0, (frames, model.bins))
    mag_BSF = jnp.asarray(np.stack([noise_SF, np.zeros_like(noise_SF)]), jnp.float32)
    with of_own(source):
        try:
            _check(module, source, mag_BSF, model.context_frames)
        except FlaxError as error:
            raise InputError(f"{source}: {first_line(error)}") from error


def _check(module: nn.Module, source: str, mag_BSF: jax.Array, context_frames: int) -> None:
    def require(holds: Any, found: object, expected: str) -> None:
        if not holds:
            raise InputError(f"{source}: found {found}, expected {expected}")

    call = inspect.signature(type(module).__call__)
    try:
        call.bind(module, mag_BSF, True)
    except TypeError:
        require(False, f"__call__{call}", "__call__(self, mag_BSF, train)")

    def run(variables: Any, train: bool) -> Any:
        rngs = {"dropout": jax.random.key(1)} if train else {}
        return module.apply(variables, mag_BSF, train, rngs=rngs, mutable=["batch_stats"] if train else [])

    key, shortest_BSF = jax.random.key(0), mag_BSF[:1, : 2 * context_frames + 1]
    shapes = jax.eval_shape(lambda: module.init(key, mag_BSF, False))
    others = sorted(set(shapes) - set(_COLLECTIONS))
    require(not others, f"variables in {some_of(others)}", "all of them in params and batch_stats")
    short = jax.eval_shape(lambda: module.init(key, shortest_BSF, False))
    require(short == shapes, "variables that depend on the number of frames", "the same for any")
    variables = jax.jit(lambda: module.init(key, mag_BSF, False))()
    for path, leaf in jax.tree.leaves_with_path(variables):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        require(jnp.isfinite(leaf).all(), f"NaN or infinity in {name} at init", "finite numbers")
    _check_last_layer(module, variables, mag_BSF.shape[-1], require)
    batch, frames, bins = mag_BSF.shape
    cut = (batch, frames - 2 * context_frames, bins)
    for train in (False, True):
        found = jax.eval_shape(lambda train=train: run(variables, train)[0])
        require(isinstance(found, jax.ShapeDtypeStruct), f"a {type(found).__name__}", "the mask alone, an array")
        expected = f"{cut}, or {mag_BSF.shape} with the context frames" if context_frames else str(cut)
        require(found.shape in (cut, mag_BSF.shape), f"a mask of shape {found.shape}", f"{expected}")
        require(jnp.issubdtype(found.dtype, jnp.floating), f"a mask of {found.dtype}", "floating-point numbers")
        mask_BTF = np.asarray(jax.jit(lambda train=train: run(variables, train)[0])())
        at = f"at init, with train={train}"
        for what, mask_TF in zip(("noise", "silence"), mask_BTF, strict=True):
            require(np.isfinite(mask_TF).all(), f"NaN or infinity in the mask of {what} {at}", "finite numbers")
        require(mask_BTF.min() >= 0, f"a mask as low as {mask_BTF.min():.3g} {at}", "0 or more, as of a ReLU")


def _check_last_layer(module: nn.Module, variables: Any, bins: int, require: Any) -> None:
    """Check the names of the dense layer whose diagonal is penalised, where the class says which it is."""
    path: Any = getattr(module, "last_layer", None)
    if path is None:
        return
    try:
        shape = functools.reduce(operator.getitem, (*path, "kernel"), variables["params"]).shape
    except (KeyError, TypeError, AttributeError):
        shape = None
    is_dense = shape is not None and len(shape) == 2 and shape[1] == bins
    found = f"last_layer = {path!r}" + (f" with a kernel of shape {shape}" if shape else "")
    require(is_dense, found, f"the names on the way to a dense layer of {bins} units, or no last_layer")
