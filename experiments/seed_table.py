"""What the seeds of a system have in common: mean and standard deviation of their scores."""

import statistics
from collections.abc import Sequence

from rich.table import Table

from experiments.rows import RowResult
from experiments.text_table import markdown_table, terminal_table

_METRICS = ("SDR", "SIR", "SAR", "ISR")
_TITLES = ["system", "seeds", *(f"{metric} (dB)" for metric in _METRICS), "training (s)"]


def seed_rows(results: Sequence[RowResult]) -> list[list[str]]:
    """Return a line of the table for each system with the scores of two seeds or more."""
    by_system: dict[str, list[RowResult]] = {}
    for result in results:
        if result.seed is not None and result.scores:
            by_system.setdefault(result.system, []).append(result)
    return [_line(system, seeds) for system, seeds in by_system.items() if len(seeds) > 1]


def _line(system: str, seeds: Sequence[RowResult]) -> list[str]:
    cells = [system, str(len(seeds))]
    for metric in _METRICS:
        values = [value for seed in seeds if (value := seed.median_db(metric)) is not None]
        cells.append(f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else "–")
    return [*cells, f"{sum(seed.train_s or 0 for seed in seeds):.0f}"]


def seed_markdown(results: Sequence[RowResult]) -> str:
    """Return the table in markdown with a line before it; nothing where no system has several seeds."""
    rows = seed_rows(results)
    if not rows:
        return ""
    return f"\nMean ± standard deviation (n - 1) over the seeds:\n\n{markdown_table(_TITLES, rows)}\n"


def seed_terminal(results: Sequence[RowResult]) -> Table | None:
    """Return the table for a terminal; None where no system has several seeds."""
    rows = seed_rows(results)
    if not rows:
        return None
    return terminal_table(_TITLES, rows, title="mean ± standard deviation over the seeds")
