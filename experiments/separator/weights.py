"""`madsep import` and `madsep export`: published parameters to a checkpoint, and back."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, say, show_device
from experiments.cli.options import CodeOptions, Out, WhichWeights, Whole, option_class
from madsep_jax.config.io import override
from madsep_jax.config.presets import masker_fields, preset_config
from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.config.systems import system_name
from madsep_jax.errors import InputError, shown

IMPORT_USAGE = "Usage: madsep import FILE… --out FOLDER [OPTIONS]"
EXPORT_USAGE = "Usage: madsep export FOLDER --out FILE.safetensors"

_DEFAULT_PRESET = "released_code"
_DEFAULT_CONTEXT = 10


@option_class
class ImportOptions:
    """What weights cannot tell, and where to keep the checkpoint."""

    out: Annotated[Path, Out]
    """Folder of the checkpoint, for `madsep separate --checkpoint`; a new one, or an empty one."""

    context_frames: Annotated[int | None, Whole] = None
    """L, the context frames at each end of the sequences that the model was trained on. Default: what `madsep export`
    wrote, otherwise 10."""

    preset: Literal["paper", "released_code"] | None = None
    """Recipe by which the model was trained: decides the residual, the CNN's frames and the range of the input.
    Default: what `madsep export` wrote, otherwise released_code."""

    own: CodeOptions = field(default_factory=CodeOptions)


@option_class
class ExportOptions:
    """Where to write."""

    out: Annotated[Path, Out]
    """The file, ending in .safetensors; one already there is replaced."""

    which: WhichWeights = None

    own: CodeOptions = field(default_factory=CodeOptions)


def import_model(
    *files: Annotated[Path, Parameter(name="FILE", required=True)],
    options: ImportOptions,
    device: DeviceOptions = ANY_DEVICE,
) -> None:
    """Make a checkpoint from published parameters: MaD, MaD TwinNet or a DWS-CNN, with PyTorch's names.

    Args:
        files: One file (.pt, .pth, .safetensors), MaD's four parts (rnn_enc, rnn_dec, fnn, denoiser), or a folder that
            holds either. Code in a pickle is refused.
    """
    import jax
    import numpy as np

    from madsep_jax.interop.exported import check_architecture, has_own_names, read_header, read_model
    from madsep_jax.interop.files import parameter_files, read_state_dict
    from madsep_jax.interop.state_dict import from_torch

    console = make_console()
    show_device(console, device)
    options.own.load()
    found = tuple(parameter_files(*files))
    exported = read_header(found[0]) if len(found) == 1 else None
    if exported and has_own_names(exported.config):
        config, variables, level = read_model(found[0])
        _save(options.out, config, variables, level, console)
        return
    state_dict = read_state_dict(*found)
    default_context = exported.config.sequences.context if exported else _DEFAULT_CONTEXT
    context_frames = default_context if options.context_frames is None else options.context_frames
    model, variables = from_torch(state_dict, context_frames=context_frames)
    if exported is not None and options.preset is None:
        config = _with_context(exported.config, context_frames)
    else:
        config = run_config(model, options.preset or _DEFAULT_PRESET)
    check_architecture(config.model, model)
    variables = jax.tree.map(lambda array: np.asarray(array, np.float32), variables)
    _save(options.out, config, variables, exported.training_level if exported else None, console)


def _save(out: Path, config: RunConfig, variables: Any, level: float | None, console: Console) -> None:
    from madsep_jax.checkpoint.folder import save_model
    from madsep_jax.models.variables import parameter_counts

    save_model(out, config, variables, level)
    parts = ", ".join(f"{name} {count:,}" for name, count in parameter_counts(config.model).items())
    say(console, f"{shown(out)}: {system_name(config)} ({parts} parameters), preset {config.preset}")


def export_model(
    checkpoint: Annotated[Path, Parameter(name="FOLDER")],
    /,
    *,
    options: ExportOptions,
    device: DeviceOptions = ANY_DEVICE,
) -> None:
    """Write a checkpoint's parameters with PyTorch's names, for the published implementations.

    Those of a masker of your own have the names that its modules give them.

    Args:
        checkpoint: Folder of a trained separator: a checkpoint, or a row of the ablation (runs/…/rows/…).
    """
    from madsep_jax.checkpoint.folder import load_level, load_model, weights_of
    from madsep_jax.interop.exported import check_ending, write_model

    console = make_console()
    show_device(console, device)
    check_ending(options.out)
    options.own.load()
    config, variables = load_model(checkpoint, options.which)
    arrays = write_model(options.out, config, variables, load_level(checkpoint))
    say(console, f"{shown(options.out)}: {arrays} arrays ({weights_of(checkpoint, options.which)})")


def run_config(model: ModelConfig, preset: str) -> RunConfig:
    """Return the configuration for an imported model: the preset's, with the architecture that the weights tell.

    Raises InputError where the model's spectra are not of the preset's number of bins.
    """
    base = preset_config(preset)
    if model.bins != base.signal.bins:
        raise InputError(f"parameters: found spectra of {model.bins} bins, expected {base.signal.bins}, as of {preset}")
    base = _with_context(base, model.context_frames)
    # The fields of which weights tell nothing start from the defaults, which are the paper's.
    found = model.masker
    masker = type(found)(**{name: getattr(found, name) for name in found.told_by_weights})
    return override(base, masker_fields(base, masker))


def _with_context(config: RunConfig, context_frames: int) -> RunConfig:
    """Return the configuration with another context and as many target frames as before."""
    frames = config.sequences.target_frames + 2 * context_frames
    return override(config, {"sequences.context": context_frames, "sequences.frames": frames})
