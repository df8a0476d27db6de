"""Maskers of somebody's own: a class of Flax Linen in a file or an installed module, in the place of one of ours.

The class maps `(mag_BSF, train)` to a mask_BTF ≥ 0; "Your own masker" in experiments/README.md is the whole contract.
Code is run where a caller names it, by `load_code` or in a system's name, and nowhere else: a configuration, or a
checkpoint, that asks for code which has not been loaded is refused.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
from flax import linen as nn

from madsep_jax.config.io import as_field, differences, override
from madsep_jax.config.own import OwnConfig, digest_of, find_source, importable, source_name
from madsep_jax.config.run import ComputeConfig, RunConfig
from madsep_jax.errors import InputError, did_you_mean, shown
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import Denoiser
from madsep_jax.models.mad import MaskerDenoiser, Separation
from madsep_jax.signal.framing import middle_frames

#: Fields that are not settings: Flax's own, and the one that is filled in.
_GIVEN = ("parent", "name", "context_frames")


@dataclass
class _Code:
    """Code that this process has run."""

    path: Path
    name: str
    """Without its folder, as in `OwnConfig.source`."""
    digest: str
    module: ModuleType
    stands_for_others: bool
    """Whether it is taken where another version of it is asked for."""


#: By digest, in the order in which it was run.
_LOADED: dict[str, _Code] = {}


def load_code(code: str, accept_changed: bool = False) -> None:
    """Run somebody's code, so that models can be made of it.

    Args:
        code: a file, as `my_masker.py`, or a module that can be imported, as `my_package.module`. It is run once.
        accept_changed: take it also for configurations and checkpoints of another version of it.

    Raises:
        InputError: where there is no such code, or it has a syntax error. What it raises itself comes through.
    """
    path = find_source(code)
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    if digest not in _LOADED:
        with of_own(code):
            _LOADED[digest] = _Code(path, source_name(code), digest, _run(code, path, source), False)
    _LOADED[digest].stands_for_others |= accept_changed


def _run(code: str, path: Path, source: bytes) -> ModuleType:
    try:
        program = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line, text = getattr(error, "lineno", None) or 1, getattr(error, "text", None) or ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"{shown(path)}:{line}: {reason}{': ' if text else ''}{text.strip()}") from None
    if code.endswith(".py"):
        module = ModuleType(f"own_{path.stem}")
        module.__file__ = str(path)
        sys.modules[module.__name__] = module  # where dataclasses look their types up
        with importable(path.parent):
            exec(program, vars(module))  # its caller has named it; Python writes no file beside it
        return module
    with importable(Path.cwd()):
        module = importlib.import_module(code)
        return importlib.reload(module) if any(one.name == code for one in _LOADED.values()) else module


@contextlib.contextmanager
def of_own(source: str) -> Iterator[None]:
    """Say whose code it was that raised an error."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        error.add_note(f"This was raised in {source}, which is code of your own.")
        raise


def _code_of(config: OwnConfig) -> _Code:
    """Return what has been loaded of a configuration's code."""
    name = config.source.rpartition(":")[0]
    found = _LOADED.get(config.digest) or next((one for one in reversed(_LOADED.values()) if one.name == name), None)
    if found is None:
        raise InputError(
            f"{config.source}: is code of somebody's own, which runs only where it is named: add --code {name} with "
            "its folder (in Python call madsep_jax.models.outside.load_code first)"
        )
    if found.digest != config.digest and not found.stands_for_others:
        raise InputError(changed(config, found.path))
    return found


def changed(config: OwnConfig, path: Path | str) -> str:
    """Return what is said of a source that is another one than it was."""
    return (
        f"{shown(path)}: has changed since {config.source} was trained (SHA-256 was {config.digest[:8]}…, is "
        f"{digest_of(Path(path))[:8]}…); --accept-changed-source takes it as it is now"
    )


def with_accepted_source(saved: RunConfig, now: RunConfig) -> RunConfig:
    """Return a saved configuration as of the source of today, where it was of another that may stand for it.

    Raises InputError where it may not.
    """
    if "masker.digest" not in differences(saved, now):
        return saved
    assert isinstance(saved.masker, OwnConfig)
    assert isinstance(now.masker, OwnConfig)
    code = _code_of(now.masker)
    if not code.stands_for_others:
        raise InputError(changed(saved.masker, code.path))
    return override(saved, {"masker.digest": now.masker.digest})


def module_class(config: OwnConfig) -> type[nn.Module]:
    """Return the class that a configuration names. Raises InputError where there is none, or it is no module."""
    module, name = _code_of(config).module, config.source.rpartition(":")[2]
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    modules = [each for each, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    what = "no such class" if found is None else f"{type(found).__name__} {name}"
    expected = did_you_mean(name, modules) if modules else "expected a class"
    raise InputError(f"{config.source}: found {what}, {expected} (of flax.linen.Module)")


def make_module(config: OwnConfig, context_frames: int) -> nn.Module:
    """Return the masker with its settings. Raises InputError where it has no such setting, or misses one."""
    kind = module_class(config)
    fields = _fields(kind)
    settings = {name: field for name, field in fields.items() if name not in _GIVEN}
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in config.values().items():
        if name not in settings:
            untyped = f", which has no type there (write {name}: int = …)" if name in vars(kind) else ""
            expected = did_you_mean(name, settings) if settings else "expected none"
            raise InputError(f"{config.source}: found no setting {name!r}{untyped}, {expected}")
        try:
            values[name] = as_field(hints[name], value, f"{config.source}: {name}")
        except TypeError:
            expected = "int, float, bool, str, Literal or a tuple of one of them"
            raise InputError(f"{config.source}: found {name} of type {hints[name]}, expected {expected}") from None
    for name, field in settings.items():
        if name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{config.source}: found no default of {name}, expected one, or {name}=… in parentheses")
    if "context_frames" in fields:
        values["context_frames"] = context_frames
    with of_own(config.source):
        return kind(**values)


def _fields(kind: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(kind) if field.init}


def _without_dropout(config: OwnConfig) -> OwnConfig:
    if "dropout" not in _fields(module_class(config)):
        return config
    others = [text for text in config.settings if not text.startswith("dropout=")]
    return dataclasses.replace(config, settings=tuple(sorted([*others, "dropout=0.0"])))


class OwnMaskerDenoiser(MaskerDenoiser):
    """A masker of somebody's own and our denoiser; a mask for all S frames is cut to the T middle ones."""

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in a mixture; arguments as for every `MaskerDenoiser`."""
        mask_BSF = self.masker(mag_BSF, train)
        is_whole = mask_BSF.shape[1] == mag_BSF.shape[1]
        return self.filter(mag_BSF, middle_frames(mask_BSF, self.context_frames) if is_whole else mask_BSF)


def _separator(config: OwnConfig, context_frames: int, compute: ComputeConfig) -> OwnMaskerDenoiser:
    return OwnMaskerDenoiser(make_module(config, context_frames), Denoiser(), context_frames)


ARCHITECTURE = Architecture(OwnConfig, _separator, without_dropout=_without_dropout)
