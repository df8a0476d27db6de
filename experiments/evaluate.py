"""Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

`python -m experiments.evaluate --data ~/MUSDB18-HQ --estimates separated/htdemucs umx=separated/umx --compare htdemucs
umx` scores the folders' SONG/vocals.wav and writes scores in museval's JSON, a table, CSV and the comparison.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions
from experiments.evaluation.options import EvaluateOptions

app = App(name="evaluate", usage="Usage: python -m experiments.evaluate --data SONGS [OPTIONS]")


@app.default
def evaluate(options: EvaluateOptions, device: DeviceOptions = ANY_DEVICE) -> int:
    """Score separated songs, made by a trained separator or by any tool, and compare systems song by song.

    Started again in the same folder, it scores what is missing or has changed, and shows all systems of the folder.
    Exit code 1: a song could not be scored; the others are.
    """
    from experiments.evaluation.score_systems import score_systems

    return score_systems(options, device)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
