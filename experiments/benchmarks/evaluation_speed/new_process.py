"""Scoring one song by JAX in a process of its own: `python -m experiments.benchmarks.evaluation_speed.new_process`."""

import json
import sys

from experiments.benchmarks.evaluation_speed.cases import made_up_song, score
from experiments.benchmarks.new_process import run_new_process
from experiments.benchmarks.rounds import timed
from experiments.scoring.protocols import ProtocolName
from madsep_jax.host.memory import process_memory


def score_in_new_process(protocol: ProtocolName, seconds: float) -> dict[str, float]:
    """Score a made-up song of so many seconds in a new process, without a compilation cache, and do nothing else.

    Returns:
        `peak_bytes`, resident memory at its most, once the song has been scored; `first_s`, seconds of scoring it for
        the first time, compilation included; `again_s`, of scoring it once more.
    """
    return run_new_process(__name__, protocol, str(seconds))


def main(protocol: ProtocolName, seconds: str) -> None:
    """Score, and print what it took."""
    song = made_up_song(float(seconds))
    _, first_s = timed(lambda: score(song, "jax", protocol))
    peak = process_memory().peak
    _, again_s = timed(lambda: score(song, "jax", protocol))
    print(json.dumps({"peak_bytes": peak, "first_s": first_s, "again_s": again_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
