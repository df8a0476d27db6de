"""Show what a trained separator has learnt, as a matrix from the mixture's spectrum to the voice's.

The neural couplings algorithm (`madsep_jax.couplings.fit`) on the test songs:
`python -m experiments.couplings --checkpoint runs/quick-embedded/rows/dae-seed0 -o runs/couplings-dae`
A step of full-size spectra (2049 bins, 1024 frames) takes two CPU cores about 0.2 s in the student form, 1.1 s in the
compositional one of two layers, 2.3 s of four; at a quarter of the size (513 bins) a twentieth or less.
"""

import dataclasses
import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, show_device
from experiments.coupling_maps.options import CouplingsOptions
from madsep_jax.config.io import to_dict
from madsep_jax.config.systems import system_name
from madsep_jax.errors import InputError
from madsep_jax.host.environment import environment

_USAGE = "Usage: python -m experiments.couplings --checkpoint ROW --out DIR [OPTIONS]"

app = App(name="couplings", usage=_USAGE, help=__doc__.split("\n\n")[0])


@app.default
def couplings(*, options: CouplingsOptions, device: DeviceOptions = ANY_DEVICE) -> None:
    """Show what a trained separator has learnt, as a matrix from the mixture's spectrum to the voice's."""
    import numpy as np

    from data_pipelines.songs.spectrograms import load_features
    from experiments.cli.results import show_results
    from experiments.coupling_maps.fit import choose_fit, fit_mapping, frame_pairs, protocol
    from experiments.coupling_maps.report import make_folder, write_results
    from experiments.data.songs import load_songs
    from madsep_jax.checkpoint.folder import find_checkpoint, load_config, load_model, weights_of

    console = make_console()
    show_device(console, device)
    options.own.load()
    checkpoint = find_checkpoint(options.checkpoint)
    config = load_config(checkpoint)
    system = system_name(config)
    fit_config = choose_fit(options, config, system)
    songs = load_songs(options.data, config.signal.sample_rate, read=False)
    make_folder(options.out)
    config, variables = load_model(checkpoint, options.which)
    songs = dataclasses.replace(songs, test=songs.test[: options.songs])
    with Bar(console, "spectrograms", len(songs.test)) as bar:
        features = load_features(songs.test, config.signal, options.cache, bar.advance)
    with Bar(console, f"{system}: frames", 100) as bar:
        pairs = frame_pairs(config, variables, features, options.frames, lambda share: bar.advance_to(int(100 * share)))
    if not np.isfinite(pairs.output_NF).all():
        raise InputError(f"{options.checkpoint}: found estimates that are not finite, expected a trained separator")
    with Bar(console, f"{system}: {fit_config.form} fit", fit_config.steps) as bar:
        fit = fit_mapping(config, variables, pairs, fit_config, bar)
    if not np.isfinite(fit.l1):
        raise InputError(
            f"--learning-rate {fit_config.learning_rate:g}: found a fit that diverges, expected a smaller rate"
        )
    about = {
        "system": system,
        "form": fit_config.form,
        "protocol": protocol(config, songs, pairs, sum(track.frames for track in features)),
        "couplings": to_dict(fit_config),
        "checkpoint": str(options.checkpoint),
        "weights": weights_of(checkpoint, options.which)._asdict(),
        "config": to_dict(config),
        "environment": environment(),
    }
    table = write_results(options.out, fit, pairs, config.signal, about)
    console.print(table.terminal(options.out / "table.md"))
    console.print(table.caption, markup=False)
    show_results(console, options.out, "couplings.json", "couplings.npz", "two pictures")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
