"""The peak memory of scoring one song, in a process of its own: `python -m experiments.evaluation_timing.memory`."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from experiments.evaluation_timing.cases import made_up_song
from experiments.evaluation_timing.engines import score
from experiments.scoring.protocols import EngineName, ProtocolName

_PROJECT = Path(__file__).parents[2]


def peak_bytes(engine: EngineName, protocol: ProtocolName, seconds: float) -> int:
    """Return the resident memory, at its most, of a process that makes a song, scores it once and does nothing else."""
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", __name__, engine, protocol, str(seconds)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"scoring by {engine} failed in its process:\n{done.stderr}")
    return int(json.loads(done.stdout))


def main(engine: EngineName, protocol: ProtocolName, seconds: str) -> None:
    """Score once, and print the peak memory in bytes."""
    score(made_up_song(float(seconds)), engine, protocol)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
