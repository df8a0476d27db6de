"""What the rows of a plan will take, roughly, before any is run."""

import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from experiments.cli.terminal import FittedTable
from experiments.data.songs import Songs
from experiments.rows.memory import RowMemory, gib
from experiments.rows.plan import Plan
from experiments.scoring.score_song import EngineName
from madsep_jax.config.run import RunConfig
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.models.registry import architecture_of
from madsep_jax.models.variables import parameter_counts


def plan_table(plan: Plan, processes: int, engine: EngineName, memory: Mapping[str, RowMemory]) -> FittedTable:
    """Return the plan for the terminal: each row's size, memory, and a rough estimate of its time."""
    speed, scoring = device_gflop_per_s(), scoring_seconds(plan.songs, processes, engine)
    about = [plan.songs.description]
    if memory:
        there = next(iter(memory.values())).there
        free = "" if there is None else f" of the {gib(there)} that are free"
        about.append(f"Memory: what the training needs of each device{free}, by the compiler's plan.")
    titles = ("row", "masker params", "total params", "GFLOP / s audio", "memory", "steps", "about")
    lines, total = list[list[str]](), 0.0
    for row in plan.rows:
        cells, seconds = [row.system, "–", "–", "–", "–", "–"], scoring
        if row.config:
            steps, counts = plan.steps_of(row.config), parameter_counts(row.config.model)
            masker = f"{counts['masker']:,}" if "masker" in counts else "–"
            gflop = f"{forward_gflop_per_second(row.config):.2f}"
            needed = memory.get(row.folder_name)
            shown = "–" if needed is None else gib(needed.planned) + ("" if needed.fits is not False else " !")
            cells = [row.folder_name, masker, f"{sum(counts.values()):,}", gflop, shown, f"{steps:,}"]
            seconds += training_seconds(row.config, steps, speed)
        lines.append([*cells, duration(seconds)])
        total += seconds
    lines.append(["all rows", *[""] * 5, duration(total)])
    return FittedTable.of_lines(titles, lines, "\n".join(about), "GFLOP / s audio")


def duration(seconds: float) -> str:
    """Return a time in words, roughly."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


#: A training step takes about three forward passes.
_STEP_FORWARDS = 3

#: Seconds of one core to score a second of stereo audio at 44.1 kHz (BSSEval v4, 512-tap filters), and a song apart
#: from its length.
_SCORE_S: dict[EngineName, float] = {"jax": 0.01, "museval": 0.2}
_SONG_OVERHEAD_S: dict[EngineName, float] = {"jax": 0.1, "museval": 0.6}


def device_gflop_per_s() -> float:
    """Measure the speed of a float32 matrix product on the device, GFLOP/s."""
    size, seconds, product = 1024, 0.3, jax.jit(jnp.matmul)
    a = jnp.ones((size, size), jnp.float32)
    product(a, a).block_until_ready()
    runs, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        product(a, a).block_until_ready()
        runs += 1
    return 2 * size**3 * runs / (time.perf_counter() - start) / 1e9


def training_seconds(config: RunConfig, steps: int, device_gflop: float) -> float:
    """Estimate the time that the steps of a row's training take."""
    audio_s = config.training.batch_size * config.sequences.target_frames / config.signal.frames_per_second
    gflop = _STEP_FORWARDS * forward_gflop_per_second(config) * audio_s
    return steps * gflop / (device_gflop * architecture_of(config.masker).speed_share)


def scoring_seconds(songs: Songs, processes: int, engine: EngineName) -> float:
    """Estimate the time that scoring a row's test songs takes."""
    count, per_second = len(songs.test), _SCORE_S[engine] * songs.test[0].sample_rate / 44100
    return (count * _SONG_OVERHEAD_S[engine] + songs.test_seconds * per_second) / min(processes, count)
