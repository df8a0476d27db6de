"""What is said, drawn and written about a fitted mapping."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli.results import Column, Report, Row, Table, save_figure
from experiments.coupling_maps.fit import FramePairs
from madsep_jax.config.signal import SignalConfig
from madsep_jax.couplings.diagonal import bins_within, diagonal_share, uniform_share
from madsep_jax.couplings.fit import CouplingsFit
from madsep_jax.errors import InputError
from madsep_jax.host.files import clear_leftovers, written_aside

#: Distances from the diagonal, Hz. A window of 2049 samples at 44.1 kHz spreads a tone over ±43 Hz by itself.
DISTANCES_HZ = (0.0, 50.0, 100.0, 200.0)


def place_name(share: Row) -> str:
    """Return how far from the diagonal a share reaches."""
    bins = share["within_bins"]
    return f"within ±{share['within_hz']:g} Hz ({bins} bins)" if bins else "on the diagonal"


_COLUMNS = (
    Column("energy near the diagonal (%)", place_name, word=True),
    Column("mapping", "mapping", ".2f", 100),
    Column("before the fit", "start", ".2f", 100),
    Column("uniform", "uniform", ".2f", 100),
    Column("weighted mapping", "weighted_mapping", ".2f", 100),
    Column("weighted uniform", "weighted_uniform", ".2f", 100),
)


def diagonal_shares(fit: CouplingsFit, input_NF: np.ndarray, bin_width_hz: float) -> list[dict[str, float | None]]:
    """Return the shares of energy near the diagonal, within each of `DISTANCES_HZ`; None for a mapping of zeros.

    They are those of the fitted mapping, of the mapping that the fit started from, and of a matrix of equal entries.
    Weighted ones have each column times the root mean square of the mixture in that bin: what the entries let through.
    Entries for bins without sound count for nothing there.
    """
    mapping_FF, start_FF = np.asarray(fit.mapping_FF), np.asarray(fit.start_FF)
    level_F = input_level(input_NF)
    shares = []
    for within_hz in DISTANCES_HZ:
        bins = bins_within(within_hz, bin_width_hz)
        share = {
            "within_hz": within_hz,
            "within_bins": bins,
            "mapping": diagonal_share(mapping_FF, bins),
            "start": diagonal_share(start_FF, bins),
            "uniform": uniform_share(len(mapping_FF), bins),
            "weighted_mapping": diagonal_share(mapping_FF * level_F, bins),
            "weighted_uniform": diagonal_share(np.broadcast_to(level_F, mapping_FF.shape), bins),
        }
        shares.append({name: None if value != value else value for name, value in share.items()})
    return shares


def input_level(input_NF: np.ndarray) -> np.ndarray:
    """Return the root mean square of each bin over the frames."""
    return np.sqrt(np.mean(np.square(input_NF, dtype=np.float64), axis=0))


def fit_error(fit: CouplingsFit, output_NF: np.ndarray) -> dict[str, float]:
    """Return the L1 norm of the error that is left, and that before the first step, summed over frames and bins.

    Also per element, and relative to that of the model's output: 1 is what a mapping of zeros has; NaN for silence.
    """
    norm = float(np.sum(np.abs(output_NF), dtype=np.float64))
    return {
        "total": fit.l1,
        "start_total": float(fit.history_K[0]),
        "per_element": fit.l1 / output_NF.size,
        "relative": fit.l1 / norm if norm else float("nan"),
    }


def make_folder(folder: Path) -> None:
    """Make the folder of the results, without what killed processes have left in it.

    Raises InputError where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made, expected a folder: {error.strerror}") from None
    clear_leftovers(folder)


def write_results(
    folder: Path, fit: CouplingsFit, pairs: FramePairs, signal: SignalConfig, about: dict[str, Any]
) -> tuple[dict[str, Any], Table]:
    """Write couplings.json, couplings.npz and table.md of a mapping, fitted to pairs, into a folder.

    couplings.json begins with what is said `about` the fit. Returns its content, and the table of shares in percent,
    whose caption is a line about the fit.
    """
    shares = diagonal_shares(fit, pairs.input_NF, bin_width_hz(signal))
    error = fit_error(fit, pairs.output_NF)
    summary = (
        f"{title_of(about)}: {len(pairs.input_NF)} frames of {len(about['protocol']['songs'])} test songs; "
        f"L1 error {error['total']:.4g} ({error['per_element']:.3g} per element, "
        f"{100 * error['relative']:.4g} % of the output's L1 norm; before the fit {error['start_total']:.4g})."
    )
    _write_arrays(folder / "couplings.npz", fit, pairs, signal, {name: about[name] for name in ("system", "form")})
    table = Table(_COLUMNS, shares, summary)
    content = {**about, "l1": error, "diagonal_shares": shares}
    Report("couplings", content, [table]).write(folder)
    return content, table


def title_of(about: Mapping[str, Any]) -> str:
    """Return what stands above a map."""
    return f"{about['system']}, neural couplings, {about['form']} form"


def write_pictures(folder: Path, mapping_FF: np.ndarray, bin_width_hz: float, title: str, top: float) -> None:
    """Draw a mapping on both frequency axes, see `mapping_figure`."""
    for axis in ("linear", "log"):
        save_figure(mapping_figure(mapping_FF, bin_width_hz, title, axis, top), folder / f"mapping_{axis}.png")


def _write_arrays(
    path: Path, fit: CouplingsFit, pairs: FramePairs, signal: SignalConfig, names: dict[str, str]
) -> None:
    """Write an archive that loads without pickle."""
    arrays: dict[str, Any] = {
        "mapping_FF": np.asarray(fit.mapping_FF),
        "frequencies_hz": np.arange(signal.bins) * bin_width_hz(signal),
        "input_rms_F": input_level(pairs.input_NF),
        "l1_history_K": np.asarray(fit.history_K),
        "l1_start": np.asarray(fit.history_K[0]),
        "l1_end": np.asarray(fit.l1),
        "l1_output": np.sum(np.abs(pairs.output_NF), dtype=np.float64),
        **{name: np.asarray(text) for name, text in names.items()},
    }
    with written_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, **arrays)


def bin_width_hz(signal: SignalConfig) -> float:
    """Return the distance of two bins."""
    return signal.sample_rate / signal.fft_length


#: Cells a side into which a large mapping is gathered, about as many as the picture has pixels.
_CELLS = 512

#: Largest magnitude over the one from which on the colour is logarithmic.
_RANGE = 100


def top_of(mapping_FF: np.ndarray) -> float:
    """Return the largest magnitude of a mapping, but for what is at 0 Hz, which is no sound."""
    return float(np.max(np.abs(mapping_FF[1:, 1:]), initial=0.0))


def mapping_figure(mapping_FF: np.ndarray, bin_width_hz: float, title: str, axis: str, top: float) -> Any:
    """Draw a mapping (voice, mixture) on a "linear" or a "log" frequency axis.

    The colour is the entry's sign and, on a scale that is logarithmic but near 0, its magnitude up to `top`. Where
    several entries fall on one cell of the picture, the largest of them is shown: a diagonal one bin wide stays
    visible.
    """
    from matplotlib.colors import SymLogNorm
    from matplotlib.figure import Figure

    top = top or 1.0
    bins = len(mapping_FF)
    spaced = np.linspace(0, bins, _CELLS + 1) if axis == "linear" else np.geomspace(1, bins, _CELLS + 1)
    edges = np.unique(spaced.round().astype(int))
    cells, edges_hz = largest_in_cells(mapping_FF, edges), (edges - 0.5) * bin_width_hz
    figure = Figure(figsize=(6.6, 5.4), layout="constrained")
    axes = figure.subplots()
    norm = SymLogNorm(linthresh=top / _RANGE, vmin=-top, vmax=top)
    picture = axes.pcolormesh(edges_hz, edges_hz, cells, norm=norm, cmap="RdBu_r", rasterized=True)
    axes.set_xscale(axis)
    axes.set_yscale(axis)
    axes.set_aspect("equal")
    axes.set_xlabel("frequency in the mixture (Hz)")
    axes.set_ylabel("frequency in the voice (Hz)")
    axes.set_title(title)
    decades = 10.0 ** np.arange(np.ceil(np.log10(top / _RANGE)), np.floor(np.log10(top)) + 1)
    label = f"weight (linear within ±{top / _RANGE:.1g}, logarithmic beyond)"
    figure.colorbar(picture, ax=axes, label=label, ticks=[*-decades[::-1], 0, *decades])
    return figure


def largest_in_cells(matrix_FF: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the entry of largest magnitude, with its sign, in each cell of a square matrix.

    `edges`, of rows and columns alike, are the first bin of each cell, increasing, and the end of the last.
    """
    inner_FF = matrix_FF[edges[0] : edges[-1], edges[0] : edges[-1]]
    starts = edges[:-1] - edges[0]

    def gathered(extreme: np.ufunc) -> np.ndarray:
        return extreme.reduceat(extreme.reduceat(inner_FF, starts, axis=0), starts, axis=1)

    largest, smallest = gathered(np.maximum), gathered(np.minimum)
    return np.where(largest >= -smallest, largest, smallest)
