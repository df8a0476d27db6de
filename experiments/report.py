"""Show the results of an ablation or an evaluation, or of several side by side, on one page that opens in a browser.

`python -m experiments.report runs/quick-embedded` writes report.html there, as the command that made the results does;
`python -m experiments.report runs/here runs/there -o both.html` shows two machines, or two presets.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from experiments.cli.command import run
from experiments.cli.console import make_console, say
from experiments.cli.options import Out
from madsep_jax.errors import shown

app = App(name="report", usage="Usage: python -m experiments.report FOLDER… [OPTIONS]")


@app.default
def report(
    *folders: Annotated[Path, Parameter(name="FOLDER", required=True)],
    out: Annotated[Path | None, Out] = None,
) -> None:
    """Show the results of an ablation or an evaluation, or of several side by side, on one page.

    It holds everything that it shows and plays, and asks for nothing from the network.

    Args:
        folders: Folders of results: of the ablation, of the evaluation, or of the neural couplings.
        out: The file. Default: report.html in the first folder.
    """
    from experiments.pages.page import write_page

    file = write_page(folders, out)
    say(make_console(), f"Page: {shown(file)} ({file.stat().st_size / 1e6:.1f} MB)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
