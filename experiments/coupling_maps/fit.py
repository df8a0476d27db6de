"""From a trained model to its mapping: the layers, the frames, the fit."""

from typing import Any

import numpy as np

from experiments.cli.console import Bar
from experiments.coupling_maps.options import CouplingsOptions
from experiments.coupling_maps.pairs import FramePairs
from experiments.data.songs import Songs
from madsep_jax.config.run import RunConfig
from madsep_jax.couplings.fit import CouplingsConfig, CouplingsFit, Layer, fit_couplings, fit_student
from madsep_jax.errors import InputError
from madsep_jax.models.registry import architecture_of


def choose_fit(options: CouplingsOptions, config: RunConfig, system: str) -> CouplingsConfig:
    """Return the fit's settings. Raises InputError where the system has no layers for the form that is asked for."""
    layered = bool(_layer_names(config))
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


def fit_mapping(
    config: RunConfig, variables: dict[str, Any], pairs: FramePairs, fit_config: CouplingsConfig, bar: Bar
) -> CouplingsFit:
    """Fit a mapping to what a model reads and makes, and show its steps."""

    def report(done: int, l1: float) -> None:
        bar.advance_to(done, f"L1 {l1:.4g}")

    if fit_config.form == "student":
        return fit_student(pairs.input_NF, pairs.output_NF, fit_config, on_steps=report)
    layers = model_layers(config, variables["params"])
    return fit_couplings(layers, pairs.input_NF, pairs.output_NF, fit_config, on_steps=report)


def model_layers(config: RunConfig, params: Any) -> list[Layer]:
    """Return the layers of a model that is a chain of them, first layer first, from its Flax parameters."""
    layers = [params[name] for name in _layer_names(config)]
    return [Layer(np.asarray(layer["kernel"]).T, np.asarray(layer["bias"])) for layer in layers]


def _layer_names(config: RunConfig) -> tuple[str, ...]:
    return architecture_of(config.masker).layers(config.masker)


def protocol(config: RunConfig, songs: Songs, pairs: FramePairs, available: int) -> dict[str, Any]:
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
