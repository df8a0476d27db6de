"""Scoring one song by JAX in a process of its own: `python -m experiments.benchmarks.evaluation_speed.new_process`."""

import json
import sys
import time
from dataclasses import asdict, dataclass

from experiments.benchmarks.evaluation_speed.cases import ScoredSong, made_up_song, score
from experiments.benchmarks.new_process import run_new_process
from experiments.scoring.protocols import ProtocolName
from madsep_jax.host.memory import process_memory


@dataclass(frozen=True)
class NewProcess:
    """A process that makes a song, scores it and does nothing else."""

    peak_bytes: int
    """Resident memory, at its most, once the song has been scored."""
    first_s: float
    """Seconds of scoring it for the first time, compilation included."""
    again_s: float
    """Of scoring it once more."""


def score_in_new_process(protocol: ProtocolName, seconds: float) -> NewProcess:
    """Score a made-up song of so many seconds in a new process, without a compilation cache."""
    return NewProcess(**run_new_process(__name__, protocol, str(seconds)))


def main(protocol: ProtocolName, seconds: str) -> None:
    """Score, and print what it took."""
    song = made_up_song(float(seconds))
    first_s = _seconds_of_scoring(song, protocol)
    peak = process_memory().peak
    print(json.dumps(asdict(NewProcess(peak, first_s, _seconds_of_scoring(song, protocol)))))


def _seconds_of_scoring(song: ScoredSong, protocol: ProtocolName) -> float:
    start = time.perf_counter()
    score(song, "jax", protocol)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
