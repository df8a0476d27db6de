"""Scoring one song by JAX in a process of its own: `python -m experiments.benchmarks.evaluation_speed.new_process`."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.benchmarks.evaluation_speed.cases import ScoredSong, made_up_song, score
from experiments.scoring.protocols import ProtocolName
from madsep_jax.host.memory import process_memory

_PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class NewProcess:
    """A process that makes a song, scores it and does nothing else."""

    peak_bytes: int
    """Resident memory, at its most, once the song has been scored."""
    first_s: float
    """Seconds of scoring it for the first time, compilation included."""
    again_s: float
    """Of scoring it once more."""


def run_new_process(protocol: ProtocolName, seconds: float) -> NewProcess:
    """Score a made-up song of so many seconds in a new process, without a compilation cache."""
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", __name__, protocol, str(seconds)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"scoring failed in its process:\n{done.stderr}")
    return NewProcess(**json.loads(done.stdout))


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
