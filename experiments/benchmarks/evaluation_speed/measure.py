"""Both engines on the same songs, in turn: the measurement of `experiments.evaluation_speed`, and its table."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from statistics import median
from typing import Any

from experiments.benchmarks.evaluation_speed.cases import ScoredSong, largest_difference_db, made_up_song, score
from experiments.benchmarks.evaluation_speed.options import ENGINES, SpeedOptions
from experiments.benchmarks.rounds import in_turn, timed
from experiments.cli.results import Column, Report, Row, Table, made_with
from experiments.scoring.museval_engine import museval_version
from experiments.scoring.protocols import EngineName, ProtocolName, WindowScores
from experiments.scoring.score_songs import scoring_pool
from madsep_jax.host.environment import describe_machine

_WARM_UP_S = 1.0


def measure(songs: Sequence[ScoredSong], protocol: ProtocolName, workers: int, options: SpeedOptions) -> dict[str, Any]:
    """Time both engines on the same songs.

    Everything is compiled, and every worker is started, before. With several workers there are at least as many songs
    as workers, the same ones again where there are fewer; the seconds are those of as many songs as were given.

    Args:
        songs: to be scored.
        protocol: which scores.
        workers: songs at a time. One worker is this process itself, which may use all cores; several are threads for
            JAX, and processes for museval, as in the ablation.
        options: how many rounds, and after how many seconds no other begins.

    Returns:
        How much was scored; the seconds in which each engine scored all songs, round by round; and the largest
        difference of any finite score of the two, in the first round.
    """
    first_scores: dict[EngineName, list[WindowScores]] = {}
    copies = -(-workers // len(songs))

    with ExitStack() as stack:
        pools: dict[EngineName, Executor | None] = {
            engine: stack.enter_context(scoring_pool(workers, engine)) if workers > 1 else None for engine in ENGINES
        }
        for engine, pool in pools.items():
            if pool is not None:
                list(pool.map(time.sleep, [0.5] * workers))  # each of them starts
            _score_all(songs if engine == "jax" else [made_up_song(_WARM_UP_S)] * workers, engine, protocol, pool)
        began = time.perf_counter()

        def score_copies(engine: EngineName) -> float:
            found, seconds = timed(lambda: _score_all([*songs] * copies, engine, protocol, pools[engine]))
            first_scores.setdefault(engine, found)
            return seconds / copies

        def is_due(done: Sequence[float]) -> bool:
            return not done or time.perf_counter() - began <= options.enough

        seconds = in_turn(ENGINES, options.repeats, score_copies, moving=True, is_due=is_due)
    return {
        "number": len(songs),
        "audio_s": sum(song.seconds for song in songs),
        "at_a_time": workers,
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


def _seconds(found: Sequence[float]) -> str:
    text = f"{median(found):.2f}"
    return text if len(found) == 1 else f"{text} [{min(found):.2f}, {max(found):.2f}]"


_COLUMNS = (
    Column("protocol", "protocol", word=True),
    Column("songs", lambda row: row["songs"] if row["number"] == 1 else f"{row['number']} {row['songs']}", word=True),
    Column("audio (s)", "audio_s", ".1f"),
    Column("songs at a time", "at_a_time"),
    Column("rounds", lambda row: len(row["jax_s"])),
    Column("jax (s)", lambda row: _seconds(row["jax_s"]), rank=0),
    Column("museval (s)", lambda row: _seconds(row["museval_s"]), rank=0),
    Column("museval / jax", "museval_over_jax", ".1f", rank=0),
    Column("largest difference (dB)", "largest_difference_db", ".0e"),
)


def make_report(
    cases: Sequence[Row], new_process: Mapping[ProtocolName, Mapping[str, float]], settings: Mapping[str, Any]
) -> Report:
    """Return evaluation_speed.json and table.md.

    Args:
        cases: a row for each protocol, set of songs and number of songs at a time.
        new_process: of JAX, by protocol.
        settings: what the command was asked for.
    """
    rows = [{**case, "museval_over_jax": median(case["museval_s"]) / median(case["jax_s"])} for case in cases]
    processes = "; ".join(
        f"{protocol}: {process['peak_bytes'] / 1e9:.2f} GB, first call {process['first_s']:.1f} s, "
        f"second {process['again_s']:.1f} s"
        for protocol, process in new_process.items()
    )
    sources = "voice and accompaniment"
    if settings.get("targets") == "stems":
        sources = f"four stems of the songs, {sources} of noises"
    caption = (
        f"{describe_machine()}, museval {museval_version()}. Seconds: median over rounds in which both engines "
        "take turns, with the fastest and the slowest in brackets, compilation apart; all stereo, "
        f"{sources}, 512 taps. One song at a time: with all cores for it; several: threads of one process for "
        "jax, processes for museval. Peak memory of a new process that scores a made-up song of "
        f"{settings['seconds']:g} s by jax, and its calls, the first with compilation: {processes}."
    )
    content = {"caption": caption, **made_with(settings), "new_process": new_process, "results": rows}
    return Report("evaluation_speed", content, [Table(_COLUMNS, rows, caption)])
