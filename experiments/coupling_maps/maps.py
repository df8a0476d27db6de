"""From a trained separator to its map in a folder; all maps of a command are drawn at one scale."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.songs.spectrograms import TrackFeatures, load_features
from experiments.cli.console import Bar, Console
from experiments.cli.results import Table
from experiments.coupling_maps.fit import fit_mapping, frame_pairs, protocol
from experiments.coupling_maps.options import CouplingsOptions
from experiments.coupling_maps.report import bin_width_hz, make_folder, title_of, top_of, write_pictures, write_results
from experiments.coupling_maps.trained import Trained
from experiments.data.songs import Songs, load_songs
from madsep_jax.checkpoint.folder import load_model, weights_of
from madsep_jax.config.couplings import CouplingsConfig
from madsep_jax.config.io import to_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.environment import environment


@dataclasses.dataclass(frozen=True)
class SongsOfMaps:
    """The songs that all maps are about."""

    songs: Songs
    features: Sequence[TrackFeatures]


@dataclasses.dataclass(frozen=True)
class MadeMap:
    """A map that has been written, but not drawn."""

    folder: Path
    content: dict[str, Any]
    """Of its couplings.json."""
    table: Table
    mapping_FF: np.ndarray
    bin_width_hz: float


def load_test_songs(options: CouplingsOptions, config: RunConfig, console: Console) -> SongsOfMaps:
    """Read the songs, and make the folder of the results before their spectrograms are computed."""
    songs = load_songs(options.data, config.signal.sample_rate, read=False)
    make_folder(options.out)
    songs = dataclasses.replace(songs, test=songs.test[: options.songs])
    with Bar(console, "spectrograms", len(songs.test)) as bar:
        return SongsOfMaps(songs, load_features(songs.test, config.signal, options.cache, bar.advance))


def make_map(
    trained: Trained,
    fit_config: CouplingsConfig,
    songs: SongsOfMaps,
    folder: Path,
    options: CouplingsOptions,
    console: Console,
) -> MadeMap:
    """Fit the map of a separator and write all of it but the pictures.

    Raises:
        InputError: where the checkpoint cannot be read, its estimates are not finite, or the fit diverges.
    """
    system = trained.system
    config, variables = load_model(trained.checkpoint, options.which)
    with Bar(console, f"{trained.title}: frames", 100) as bar:

        def tell(share: float) -> None:
            bar.advance_to(int(100 * share))

        pairs = frame_pairs(config, variables, songs.features, options.frames, tell)
    if not np.isfinite(pairs.output_NF).all():
        raise InputError(f"{trained.given}: found estimates that are not finite, expected a trained separator")
    with Bar(console, f"{trained.title}: {fit_config.form} fit", fit_config.steps) as bar:
        fit = fit_mapping(config, variables, pairs, fit_config, bar)
    if not np.isfinite(fit.l1):
        rate = f"--learning-rate {fit_config.learning_rate:g}"
        raise InputError(f"{rate}: found a fit that diverges, expected a smaller rate")
    make_folder(folder)
    about = {
        "name": trained.name,
        "system": system,
        "seed": trained.seed,
        "sdr_db": trained.sdr_db,
        "form": fit_config.form,
        "protocol": protocol(config, songs.songs, pairs, sum(track.frames for track in songs.features)),
        "couplings": to_dict(fit_config),
        "checkpoint": str(trained.given),
        "weights": weights_of(trained.checkpoint, options.which)._asdict(),
        "config": to_dict(config),
        "environment": environment(),
    }
    content, table = write_results(folder, fit, pairs, config.signal, about)
    return MadeMap(folder, content, table, np.asarray(fit.mapping_FF), bin_width_hz(config.signal))


def draw_maps(made: Sequence[MadeMap]) -> float:
    """Draw all maps in the colours of one scale; returns the weight to which it reaches."""
    top = max(top_of(one.mapping_FF) for one in made)
    for one in made:
        write_pictures(one.folder, one.mapping_FF, one.bin_width_hz, title_of(one.content), top)
    return top
