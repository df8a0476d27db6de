"""Use a trained separator: the command `madsep`, one sub-command a job."""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments import import_command, separate_command
from experiments.command import run
from experiments.host_allocator import keep_freed_memory

app = App(name="madsep", help="Use a trained singing-voice separator.", version_flags=[])
app.command(separate_command.separate, name="separate", usage=separate_command.USAGE)
app.command(import_command.import_model, name="import", usage=import_command.IMPORT_USAGE)
app.command(import_command.export_model, name="export", usage=import_command.EXPORT_USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    if argv is None:  # the process is the command's own
        keep_freed_memory()
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
