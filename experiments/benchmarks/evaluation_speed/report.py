"""What was measured, as a table and as JSON."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from experiments.benchmarks.evaluation_speed.new_process import NewProcess
from experiments.cli.results import Column, Report, Row, Table, made_with
from experiments.scoring.museval_engine import museval_version
from experiments.scoring.protocols import ProtocolName
from madsep_jax.host.environment import describe_machine


def _seconds(found: Sequence[float]) -> str:
    text = f"{median(found):.2f}"
    return text if len(found) == 1 else f"{text} [{min(found):.2f}, {max(found):.2f}]"


_COLUMNS = (
    Column("protocol", "protocol", word=True),
    Column("songs", lambda row: row["songs"] if row["number"] == 1 else f"{row['number']} {row['songs']}", word=True),
    Column("audio (s)", "audio_s", ".1f"),
    Column("songs at a time", "at_a_time"),
    Column("rounds", lambda row: len(row["jax_s"])),
    Column("jax (s)", lambda row: _seconds(row["jax_s"])),
    Column("museval (s)", lambda row: _seconds(row["museval_s"])),
    Column("museval / jax", "museval_over_jax", ".1f"),
    Column("largest difference (dB)", "largest_difference_db", ".0e"),
)


def make_report(
    cases: Sequence[Row], new_process: Mapping[ProtocolName, NewProcess], settings: Mapping[str, Any]
) -> Report:
    """Return evaluation_speed.json and table.md.

    Args:
        cases: a row for each protocol, set of songs and number of songs at a time.
        new_process: of JAX, by protocol.
        settings: what the command was asked for.
    """
    rows = [{**case, "museval_over_jax": median(case["museval_s"]) / median(case["jax_s"])} for case in cases]
    processes = "; ".join(
        f"{protocol}: {process.peak_bytes / 1e9:.2f} GB, first call {process.first_s:.1f} s, "
        f"second {process.again_s:.1f} s"
        for protocol, process in new_process.items()
    )
    caption = (
        f"{describe_machine()}, museval {museval_version()}. Seconds: median over rounds in which both engines "
        "take turns, with the fastest and the slowest in brackets, compilation apart; all stereo, voice and "
        "accompaniment, 512 taps. One song at a time: with all cores for it; several: threads of one process for "
        "jax, processes for museval. Peak memory of a new process that scores a made-up song of "
        f"{settings['seconds']:g} s by jax, and its calls, the first with compilation: {processes}."
    )
    content = {"caption": caption, **made_with(settings), "new_process": new_process, "results": rows}
    return Report("evaluation_speed", content, [Table(_COLUMNS, rows, caption)])
