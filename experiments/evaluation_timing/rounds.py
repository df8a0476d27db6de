"""Both engines on the same songs, in turn."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack

from experiments.evaluation_timing.cases import ScoredSong
from experiments.evaluation_timing.engines import score
from experiments.scoring.pool import scoring_pool
from experiments.scoring.protocols import EngineName, ProtocolName


def measure(
    songs: Sequence[ScoredSong], engines: Sequence[EngineName], protocol: ProtocolName, workers: int, repeats: int
) -> dict[EngineName, list[float]]:
    """Return the seconds in which each engine scored all songs, each time.

    Everything is compiled, and every worker is started, before. With several workers there are at least as many songs
    as workers, the same ones again where there are fewer; the seconds are those of as many songs as were given.

    Args:
        songs: to be scored.
        engines: in this order in the first round, in the opposite one in the next, ….
        protocol: which scores.
        workers: songs at a time. One worker is this process itself, which may use all cores; several are threads for
            JAX, and processes for museval, as in the ablation.
        repeats: rounds.
    """
    times: dict[EngineName, list[float]] = {engine: [] for engine in engines}
    copies = -(-workers // len(songs))
    with ExitStack() as stack:
        pools: dict[EngineName, Executor | None] = {
            engine: stack.enter_context(scoring_pool(workers, engine)) if workers > 1 else None for engine in engines
        }
        for pool in pools.values():
            if pool is not None:
                list(pool.map(time.sleep, [0.5] * workers))
        for engine in engines:
            _score_all([songs[0]] * workers, engine, protocol, pools[engine])
        for number in range(repeats):
            for engine in engines if number % 2 == 0 else reversed(engines):
                start = time.perf_counter()
                _score_all([*songs] * copies, engine, protocol, pools[engine])
                times[engine].append((time.perf_counter() - start) / copies)
    return times


def _score_all(songs: Sequence[ScoredSong], engine: EngineName, protocol: ProtocolName, pool: Executor | None) -> None:
    if pool is None:
        for song in songs:
            score(song, engine, protocol)
    else:
        for future in [pool.submit(score, song, engine, protocol) for song in songs]:
            future.result()
