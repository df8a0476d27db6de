"""Pictures of a mapping from the mixture's spectrum to the voice's."""

from pathlib import Path

import numpy as np

from experiments.figure_file import save_figure

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
