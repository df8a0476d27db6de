"""What is said, drawn and written about a fitted mapping."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from experiments.cli.results import markdown_table, save_figure, terminal_table
from experiments.coupling_maps.pairs import FramePairs
from madsep_jax.config.signal import SignalConfig
from madsep_jax.couplings.diagonal import bins_within, diagonal_share, uniform_share
from madsep_jax.couplings.fit import CouplingsFit
from madsep_jax.errors import InputError
from madsep_jax.host.files import write_json, write_text, written_aside

#: Distances from the diagonal, Hz. A window of 2049 samples at 44.1 kHz spreads a tone over ±43 Hz by itself.
DISTANCES_HZ = (0.0, 50.0, 100.0, 200.0)


@dataclass(frozen=True, kw_only=True)
class DiagonalShare:
    """Share of energy near the diagonal; NaN for a mapping of zeros."""

    within_hz: float
    within_bins: int
    mapping: float
    """Of the fitted mapping."""
    start: float
    """Of the mapping that the fit started from."""
    uniform: float
    """Of a matrix of equal entries."""
    weighted_mapping: float
    """Of the mapping with each column times the root mean square of the mixture in that bin: what the entries let
    through. Entries for bins without sound count for nothing here."""
    weighted_uniform: float
    """Of a matrix of equal entries, weighted in the same way."""


@dataclass(frozen=True, kw_only=True)
class FitError:
    """The L1 norm of the fit's error: summed over frames and bins, per element, and relative to that of the output."""

    total: float
    start_total: float
    """Before the first step."""
    per_element: float
    relative: float
    """NaN where the model's output is silence. 1 is what a mapping of zeros has."""


def diagonal_shares(fit: CouplingsFit, input_NF: np.ndarray, bin_width_hz: float) -> list[DiagonalShare]:
    """Return the shares within each of `DISTANCES_HZ`."""
    mapping_FF, start_FF = np.asarray(fit.mapping_FF), np.asarray(fit.start_FF)
    level_F = input_level(input_NF)
    uniform_FF = np.broadcast_to(level_F, mapping_FF.shape)
    shares = []
    for within_hz in DISTANCES_HZ:
        bins = bins_within(within_hz, bin_width_hz)
        shares.append(
            DiagonalShare(
                within_hz=within_hz,
                within_bins=bins,
                mapping=diagonal_share(mapping_FF, bins),
                start=diagonal_share(start_FF, bins),
                uniform=uniform_share(len(mapping_FF), bins),
                weighted_mapping=diagonal_share(mapping_FF * level_F, bins),
                weighted_uniform=diagonal_share(uniform_FF, bins),
            )
        )
    return shares


def input_level(input_NF: np.ndarray) -> np.ndarray:
    """Return the root mean square of each bin over the frames."""
    return np.sqrt(np.mean(np.square(input_NF, dtype=np.float64), axis=0))


def fit_error(fit: CouplingsFit, output_NF: np.ndarray) -> FitError:
    """Return the error that is left."""
    norm = float(np.sum(np.abs(output_NF), dtype=np.float64))
    return FitError(
        total=fit.l1,
        start_total=float(fit.history_K[0]),
        per_element=fit.l1 / output_NF.size,
        relative=fit.l1 / norm if norm else float("nan"),
    )


TITLES = (
    "energy near the diagonal (%)",
    "mapping",
    "before the fit",
    "uniform",
    "weighted mapping",
    "weighted uniform",
)


def make_folder(folder: Path) -> None:
    """Make the folder of the results. Raises InputError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made, expected a folder: {error.strerror}") from None


def write_results(
    folder: Path, fit: CouplingsFit, pairs: FramePairs, signal: SignalConfig, about: dict[str, Any]
) -> tuple[Table, str]:
    """Write couplings.json, couplings.npz, table.md and two pictures.

    Args:
        folder: where they go.
        fit: the mapping.
        pairs: what it was fitted to.
        signal: of the spectra.
        about: what was fitted to what, which couplings.json begins with.

    Returns:
        The table for the terminal, shares in percent, and a line about the fit.
    """
    names = {name: about[name] for name in ("system", "form")}
    title = f"{about['system']}, neural couplings, {about['form']} form"
    shares = diagonal_shares(fit, pairs.input_NF, bin_width_hz(signal))
    error = fit_error(fit, pairs.output_NF)
    numbers = {"l1": dataclasses.asdict(error), "diagonal_shares": [dataclasses.asdict(share) for share in shares]}
    summary = (
        f"{title}: {len(pairs.input_NF)} frames of {len(about['protocol']['songs'])} test songs; "
        f"L1 error {error.total:.4g} ({error.per_element:.3g} per element, "
        f"{100 * error.relative:.4g} % of the output's L1 norm; before the fit {error.start_total:.4g})."
    )
    cells = [_cells(share) for share in shares]
    _write_arrays(folder / "couplings.npz", fit, pairs, signal, names)
    write_json(folder / "couplings.json", {**about, **numbers})
    plot_mapping(np.asarray(fit.mapping_FF), bin_width_hz(signal), title, folder)
    write_text(folder / "table.md", f"{markdown_table(TITLES, cells)}\n\n{summary}\n")
    return terminal_table(TITLES, cells), summary


def _cells(share: DiagonalShare) -> list[str]:
    values = (share.mapping, share.start, share.uniform, share.weighted_mapping, share.weighted_uniform)
    place = f"within ±{share.within_hz:g} Hz ({share.within_bins} bins)" if share.within_bins else "on the diagonal"
    return [place, *("–" if value != value else f"{100 * value:.2f}" for value in values)]


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


def plot_mapping(mapping_FF: np.ndarray, bin_width_hz: float, title: str, folder: Path) -> list[Path]:
    """Draw a mapping on a linear and on a logarithmic frequency axis; returns the two files written.

    The colour is the entry's sign and, on a scale that is logarithmic but near 0, its magnitude. Where several entries
    fall on one cell of the picture, the largest of them is shown: a diagonal one bin wide stays visible.

    Args:
        mapping_FF: (voice, mixture).
        bin_width_hz: of the spectrum.
        title: of the picture.
        folder: where `mapping_linear.png` and `mapping_log.png` go.
    """
    bins = len(mapping_FF)
    starts = {
        "linear": np.unique(np.linspace(0, bins, _CELLS + 1).round().astype(int)),
        "log": np.unique(np.geomspace(1, bins, _CELLS + 1).round().astype(int)),
    }
    return [
        _draw(largest_in_cells(mapping_FF, edges), (edges - 0.5) * bin_width_hz, axis, title, folder)
        for axis, edges in starts.items()
    ]


def largest_in_cells(matrix_FF: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the entry of largest magnitude, with its sign, in each cell of a square matrix.

    Args:
        matrix_FF: the matrix.
        edges: first bin of each cell, increasing, and the end of the last: of rows and columns alike.
    """
    inner_FF = matrix_FF[edges[0] : edges[-1], edges[0] : edges[-1]]
    starts = edges[:-1] - edges[0]

    def gathered(extreme: np.ufunc) -> np.ndarray:
        return extreme.reduceat(extreme.reduceat(inner_FF, starts, axis=0), starts, axis=1)

    largest, smallest = gathered(np.maximum), gathered(np.minimum)
    return np.where(largest >= -smallest, largest, smallest)


def _draw(cells: np.ndarray, edges_hz: np.ndarray, axis: str, title: str, folder: Path) -> Path:
    from matplotlib.colors import SymLogNorm
    from matplotlib.figure import Figure

    top = float(np.max(np.abs(cells))) or 1.0
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
    return save_figure(figure, folder / f"mapping_{axis}.png")
