"""Show what a trained separator has learnt, as a matrix from the mixture's spectrum to the voice's.

The neural couplings algorithm (`madsep_jax.couplings`) on the test songs:
`python -m experiments.couplings --checkpoint runs/quick-embedded/rows/dae-seed0 -o runs/couplings-dae`
A step of full-size spectra (2049 bins, 1024 frames) takes two CPU cores about 0.2 s in the student form, 1.1 s in the
compositional one of two layers, 2.3 s of four; at a quarter of the size (513 bins) a twentieth or less.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import App, Parameter

from data_pipelines.features import default_cache, load_features
from experiments.command import run
from experiments.couplings_pairs import FramePairs, frame_pairs
from experiments.couplings_plot import plot_mapping
from experiments.couplings_report import (
    bin_width_hz,
    diagonal_shares,
    fit_error,
    result_content,
    shares_markdown,
    shares_table,
    write_arrays,
)
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.progress import Bar, make_console, say
from experiments.separate_command import find_checkpoint
from experiments.songs import EMBEDDED, Songs, load_songs
from experiments.system_name import system_name
from madsep_jax.checkpoint import load_config, load_model
from madsep_jax.config import AutoencoderConfig, RunConfig
from madsep_jax.config_io import to_dict
from madsep_jax.couplings import CouplingsConfig, CouplingsFit, Layer, fit_couplings, fit_student
from madsep_jax.environment import environment
from madsep_jax.errors import InputError
from madsep_jax.files import write_json, write_text

_DEFAULTS = CouplingsConfig()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CouplingsOptions:
    """Which separator to look into, on which songs, and how."""

    checkpoint: Path
    """Folder of a trained separator: a checkpoint, or a row of the ablation (runs/…/rows/…)."""

    out: Annotated[Path, Parameter(alias="-o")]
    """Folder of the results: couplings.json, couplings.npz and two pictures. Those of an earlier run are replaced."""

    data: str = EMBEDDED
    """Songs: 'embedded' (made from a seed, nothing to download), or a folder in the layout of DSD100 or MUSDB18-HQ.
    Its test songs are used."""

    form: Literal["auto", "compositional", "student"] = "auto"
    """The matrix's form: compositional (from the model's layers, for dae, dae-deep and skip-filtering), or student (for
    every system). Default: compositional where it can be."""

    songs: int | None = None
    """Use so many test songs, the first ones. Default: all."""

    frames: int = 1024
    """Fit to so many frames, taken at even distances over the songs."""

    steps: int = _DEFAULTS.steps
    """Updates by Adam."""

    learning_rate: float = _DEFAULTS.learning_rate
    """Of Adam. Default: the published implementation's."""

    initial: Literal["normal", "identity", "zeros"] = _DEFAULTS.initial
    """Where the fit starts: normal (random, as published), identity, or zeros (student form only)."""

    seed: int = _DEFAULTS.seed
    """Of the random start."""

    cache: Path = field(default_factory=default_cache)
    """Folder of computed spectrograms, shared by all experiments."""

    def __post_init__(self) -> None:
        for name in ("songs", "frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name}: found {value}, expected a positive number")


app = App(name="couplings", help=__doc__.split("\n\n")[0], version_flags=[])


@app.default
def couplings(*, options: CouplingsOptions, device: DeviceOptions = ANY_DEVICE) -> None:
    """Show what a trained separator has learnt, as a matrix from the mixture's spectrum to the voice's."""
    console = make_console()
    show_device(console, device)
    checkpoint = find_checkpoint(options.checkpoint)
    config = load_config(checkpoint)
    system = system_name(config)
    fit_config = _fit_config(options, config, system)
    songs = load_songs(options.data, config.signal.sample_rate)
    _make_folder(options.out)
    config, variables = load_model(checkpoint)
    songs = dataclasses.replace(songs, test=songs.test[: options.songs])
    with Bar(console, "spectrograms", len(songs.test)) as bar:
        features = load_features(songs.test, config.signal, options.cache, bar.advance)
    with Bar(console, f"{system}: frames", 100) as bar:
        pairs = frame_pairs(config, variables, features, options.frames, lambda share: bar.advance_to(int(100 * share)))
    if not np.isfinite(pairs.output_NF).all():
        raise InputError(f"{options.checkpoint}: found estimates that are not finite, expected a trained separator")
    with Bar(console, f"{system}: {fit_config.form} fit", fit_config.steps) as bar:
        fit = _fit(config, variables, pairs, fit_config, bar)
    if not np.isfinite(fit.l1):
        raise InputError(
            f"--learning-rate {options.learning_rate:g}: found a fit that diverges, expected a smaller rate"
        )
    shares = diagonal_shares(fit, pairs.input_NF, bin_width_hz(config.signal))
    about = {
        "system": system,
        "form": fit_config.form,
        "protocol": _protocol(config, songs, pairs, sum(track.frames for track in features)),
        "couplings": to_dict(fit_config),
        "checkpoint": str(options.checkpoint),
        "config": to_dict(config),
        "environment": environment(),
    }
    write_arrays(options.out / "couplings.npz", fit, pairs, config.signal, {"system": system, "form": fit_config.form})
    write_json(options.out / "couplings.json", result_content(fit, pairs, shares, about))
    title = f"{system}, neural couplings, {fit_config.form} form"
    plot_mapping(np.asarray(fit.mapping_FF), bin_width_hz(config.signal), title, options.out)
    error = fit_error(fit, pairs.output_NF)
    summary = (
        f"{title}: {len(pairs.input_NF)} frames of {len(songs.test)} test songs; L1 error {error.total:.4g} "
        f"({error.per_element:.3g} per element, {100 * error.relative:.4g} % of the output's L1 norm; before the fit "
        f"{error.start_total:.4g})."
    )
    write_text(options.out / "table.md", shares_markdown(shares, summary))
    console.print(shares_table(shares))
    say(console, f"{summary} Results: {options.out}/")


def _fit_config(options: CouplingsOptions, config: RunConfig, system: str) -> CouplingsConfig:
    """Return the fit's settings. Raises InputError where the system has no layers for the form that is asked for."""
    layered = isinstance(config.masker, AutoencoderConfig)
    if options.form == "compositional" and not layered:
        raise InputError(f"--form compositional: found the system {system}, expected an autoencoder; use student")
    form = ("compositional" if layered else "student") if options.form == "auto" else options.form
    return CouplingsConfig(
        form=form,
        initial=options.initial,
        steps=options.steps,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )


def _fit(
    config: RunConfig, variables: dict[str, Any], pairs: FramePairs, fit_config: CouplingsConfig, bar: Bar
) -> CouplingsFit:
    def report(done: int, l1: float) -> None:
        bar.advance_to(done, f"L1 {l1:.4g}")

    if fit_config.form == "student":
        return fit_student(pairs.input_NF, pairs.output_NF, fit_config, on_steps=report)
    assert isinstance(config.masker, AutoencoderConfig)
    layers = autoencoder_layers(variables["params"], config.masker)
    return fit_couplings(layers, pairs.input_NF, pairs.output_NF, fit_config, on_steps=report)


def autoencoder_layers(params: Any, config: AutoencoderConfig) -> list[Layer]:
    """Return an autoencoder's layers, first layer first, from its Flax parameters."""
    names = [*(f"hidden_{number}" for number in range(config.hidden_layers)), "output"]
    return [Layer(np.asarray(params[name]["kernel"]).T, np.asarray(params[name]["bias"])) for name in names]


def _protocol(config: RunConfig, songs: Songs, pairs: FramePairs, available: int) -> dict[str, Any]:
    """Return which frames the numbers are about."""
    return {
        "data": songs.description,
        "songs": [track.name for track in songs.test],
        "frames": len(pairs.input_NF),
        "frames_available": available,
        "choice": "test songs laid one after the other, frames at even distances",
        "input": "mono mixture magnitude" + (", clipped to 0…1" if config.loss.target == "ratio_mask" else ""),
        "output": "voice_BTF of the model, in inference",
        "sequence_frames": config.sequences.frames,
        "sequence_context": config.sequences.context,
    }


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made, expected a folder: {error.strerror}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
