"""Both engines on the same songs, in turn."""

import functools
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Any

from experiments.benchmarks.evaluation_speed.cases import ScoredSong, largest_difference_db, made_up_song, score
from experiments.benchmarks.evaluation_speed.options import ENGINES
from experiments.benchmarks.rounds import in_turn
from experiments.scoring.protocols import EngineName, ProtocolName, WindowScores
from experiments.scoring.score_songs import scoring_pool

_WARM_UP_S = 1.0


def measure(
    songs: Sequence[ScoredSong], protocol: ProtocolName, workers: int, repeats: int, enough_s: float
) -> dict[str, Any]:
    """Time both engines on the same songs.

    Everything is compiled, and every worker is started, before. With several workers there are at least as many songs
    as workers, the same ones again where there are fewer; the seconds are those of as many songs as were given.

    Args:
        songs: to be scored.
        protocol: which scores.
        workers: songs at a time. One worker is this process itself, which may use all cores; several are threads for
            JAX, and processes for museval, as in the ablation.
        repeats: rounds.
        enough_s: seconds after which no other round begins.

    Returns:
        The seconds in which each engine scored all songs, round by round, and the largest difference of any finite
        score of the two, in the first round.
    """
    first_scores: dict[EngineName, list[WindowScores]] = {}
    copies = -(-workers // len(songs))

    def score_copies(engine: EngineName, pool: Executor | None) -> float:
        start = time.perf_counter()
        found = _score_all([*songs] * copies, engine, protocol, pool)
        seconds = (time.perf_counter() - start) / copies
        first_scores.setdefault(engine, found)
        return seconds

    with ExitStack() as stack:
        pools: dict[EngineName, Executor | None] = {
            engine: stack.enter_context(scoring_pool(workers, engine)) if workers > 1 else None for engine in ENGINES
        }
        for engine, pool in pools.items():
            if pool is not None:
                list(pool.map(time.sleep, [0.5] * workers))  # each of them starts
            _score_all(songs if engine == "jax" else [made_up_song(_WARM_UP_S)] * workers, engine, protocol, pool)
        began = time.perf_counter()
        seconds = in_turn(
            {engine: functools.partial(score_copies, engine, pool) for engine, pool in pools.items()},
            repeats,
            moving=True,
            is_due=lambda done: not done or time.perf_counter() - began <= enough_s,
        )
    return {
        "jax_s": seconds["jax"],
        "museval_s": seconds["museval"],
        "largest_difference_db": max(map(largest_difference_db, *first_scores.values())),
    }


def _score_all(
    songs: Sequence[ScoredSong], engine: EngineName, protocol: ProtocolName, pool: Executor | None
) -> list[WindowScores]:
    if pool is None:
        return [score(song, engine, protocol) for song in songs]
    return [future.result() for future in [pool.submit(score, song, engine, protocol) for song in songs]]
