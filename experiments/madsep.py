"""Use a trained separator: the command `madsep`, one sub-command a job."""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.cli.command import run
from experiments.separator import separate, weights
from madsep_jax.host.memory import keep_freed_memory

app = App(name="madsep", help="Use a trained singing-voice separator.")

app.command(separate.separate, name="separate", usage=separate.USAGE)
app.command(weights.import_model, name="import", usage=weights.IMPORT_USAGE)
app.command(weights.export_model, name="export", usage=weights.EXPORT_USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    if argv is None:  # the process is the command's own
        keep_freed_memory()
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
