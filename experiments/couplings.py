"""Show what a trained separator has learnt, as a matrix from the mixture's spectrum to the voice's.

The neural couplings algorithm (`madsep_jax.couplings.fit`) on the test songs:
`python -m experiments.couplings --checkpoint runs/quick-embedded/rows/dae-seed0 -o runs/couplings-dae`
A step of full-size spectra (2049 bins, 1024 frames) takes two CPU cores about 0.2 s in the student form, 1.1 s in the
compositional one of two layers, 2.3 s of four; at a quarter of the size (513 bins) a twentieth or less.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cyclopts import App

from data_pipelines.songs.spectrograms import load_features
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.coupling_maps.fit import _fit, _fit_config, _protocol
from experiments.coupling_maps.options import CouplingsOptions
from experiments.coupling_maps.pairs import frame_pairs
from experiments.coupling_maps.report import (
    bin_width_hz,
    diagonal_shares,
    fit_error,
    plot_mapping,
    result_content,
    shares_markdown,
    shares_table,
    write_arrays,
)
from experiments.data.songs import load_songs
from madsep_jax.checkpoint.folder import find_checkpoint, load_config, load_model
from madsep_jax.config.io import to_dict
from madsep_jax.config.systems import system_name
from madsep_jax.errors import InputError
from madsep_jax.host.environment import environment
from madsep_jax.host.files import write_json, write_text

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
            f"--learning-rate {fit_config.learning_rate:g}: found a fit that diverges, expected a smaller rate"
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
