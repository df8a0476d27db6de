"""Train, score, count and time separators on the same songs, and show them in one table.

The rows are differences from one base, the preset: a row has its own system (`madsep_jax.config.systems`) and seed, and
nothing else.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.cli.command import run
from experiments.rows.options import AblationOptions
from madsep_jax.host.memory import keep_freed_memory

_DEFAULTS = AblationOptions()
app = App(name="ablation", usage="Usage: python -m experiments.ablation [OPTIONS]")


@app.default
def ablation(options: AblationOptions = _DEFAULTS) -> int:
    """Train, score, count and time separators on the same songs, and show them in one table.

    Started again in the same folder, it skips the rows that are finished and continues the one that is not; with more
    --steps or --epochs it trains all of them for longer.
    """
    from experiments.rows.run_row import run_rows

    return run_rows(options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    if argv is None:  # the process is the command's own
        keep_freed_memory()
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
