"""Both engines on the same songs, in turn."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass

from experiments.benchmarks.evaluation_speed.cases import ScoredSong, largest_difference_db, made_up_song, score
from experiments.scoring.protocols import EngineName, ProtocolName, WindowScores
from experiments.scoring.score_songs import scoring_pool

_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Rounds:
    """What was measured on one set of songs."""

    seconds: dict[EngineName, list[float]]
    """In which each engine scored all songs, round by round."""
    largest_difference_db: float
    """Of any finite score of two engines, in the first round."""


def measure(
    songs: Sequence[ScoredSong],
    engines: Sequence[EngineName],
    protocol: ProtocolName,
    workers: int,
    repeats: int,
    enough_s: float,
) -> Rounds:
    """Time engines on the same songs.

    Everything is compiled, and every worker is started, before. With several workers there are at least as many songs
    as workers, the same ones again where there are fewer; the seconds are those of as many songs as were given.

    Args:
        songs: to be scored.
        engines: in this order in the first round, in the opposite one in the next, ….
        protocol: which scores.
        workers: songs at a time. One worker is this process itself, which may use all cores; several are threads for
            JAX, and processes for museval, as in the ablation.
        repeats: rounds.
        enough_s: seconds after which no other round begins.
    """
    times: dict[EngineName, list[float]] = {engine: [] for engine in engines}
    scores: dict[EngineName, list[WindowScores]] = {}
    copies = -(-workers // len(songs))
    with ExitStack() as stack:
        pools: dict[EngineName, Executor | None] = {
            engine: stack.enter_context(scoring_pool(workers, engine)) if workers > 1 else None for engine in engines
        }
        for engine, pool in pools.items():
            if pool is not None:
                list(pool.map(time.sleep, [0.5] * workers))  # each of them starts
            _score_all(songs if engine == "jax" else [made_up_song(_WARM_UP_S)] * workers, engine, protocol, pool)
        began = time.perf_counter()
        for number in range(repeats):
            for engine in engines if number % 2 == 0 else reversed(engines):
                start = time.perf_counter()
                found = _score_all([*songs] * copies, engine, protocol, pools[engine])
                times[engine].append((time.perf_counter() - start) / copies)
                scores.setdefault(engine, found)
            if time.perf_counter() - began > enough_s:
                break
    first, *others = (scores[engine] for engine in engines)
    return Rounds(times, max(max(map(largest_difference_db, first, other)) for other in others))


def _score_all(
    songs: Sequence[ScoredSong], engine: EngineName, protocol: ProtocolName, pool: Executor | None
) -> list[WindowScores]:
    if pool is None:
        return [score(song, engine, protocol) for song in songs]
    return [future.result() for future in [pool.submit(score, song, engine, protocol) for song in songs]]
