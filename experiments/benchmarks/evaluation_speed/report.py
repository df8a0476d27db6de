"""What was measured, as a table and as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from experiments.benchmarks.evaluation_speed.cases import ScoredSong
from experiments.benchmarks.evaluation_speed.new_process import NewProcess
from experiments.benchmarks.evaluation_speed.rounds import Rounds
from experiments.cli.tables import markdown_table, terminal_table
from experiments.scoring.museval_engine import museval_version
from experiments.scoring.protocols import ProtocolName
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import write_json, write_text

_WORDS = ("protocol", "songs")


@dataclass(frozen=True)
class CaseResult:
    """Both engines on one set of songs. Seconds."""

    protocol: str
    songs: str
    number: int
    audio_s: float
    at_a_time: int
    jax_s: list[float]
    """Of each round."""
    museval_s: list[float]
    largest_difference_db: float
    """Of any finite score of the two."""

    @classmethod
    def of(
        cls,
        protocol: str,
        name: str,
        songs: Sequence[ScoredSong],
        workers: int,
        rounds: Rounds,
    ) -> "CaseResult":
        """Return the result of one case."""
        audio_s = sum(song.seconds for song in songs)
        jax_s, museval_s = rounds.seconds["jax"], rounds.seconds["museval"]
        return cls(protocol, name, len(songs), audio_s, workers, jax_s, museval_s, rounds.largest_difference_db)

    @property
    def ratio(self) -> float:
        """Return how many times faster JAX is, by the medians."""
        return median(self.museval_s) / median(self.jax_s)


@dataclass(frozen=True)
class Report:
    """All that was measured."""

    results: Sequence[CaseResult]
    new_process: Mapping[ProtocolName, NewProcess]
    """Of JAX, by protocol."""
    settings: Mapping[str, Any]

    def caption(self) -> str:
        """Return what a reader must know to read the numbers."""
        processes = "; ".join(
            f"{protocol}: {process.peak_bytes / 1e9:.2f} GB, first call {process.first_s:.1f} s, "
            f"second {process.again_s:.1f} s"
            for protocol, process in self.new_process.items()
        )
        return (
            f"{describe_machine()}, museval {museval_version()}. Seconds: median over rounds in which both engines "
            "take turns, with the fastest and the slowest in brackets, compilation apart; all stereo, voice and "
            "accompaniment, 512 taps. One song at a time: with all cores for it; several: threads of one process for "
            "jax, processes for museval. Peak memory of a new process that scores a made-up song of "
            f"{self.settings['seconds']:g} s by jax, and its calls, the first with compilation: {processes}."
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and cells."""
        titles = ["protocol", "songs", "audio (s)", "songs at a time", "rounds", "jax (s)", "museval (s)"]
        titles += ["museval / jax", "largest difference (dB)"]
        cells = [
            [
                result.protocol,
                result.songs if result.number == 1 else f"{result.number} {result.songs}",
                f"{result.audio_s:.1f}",
                str(result.at_a_time),
                str(len(result.jax_s)),
                _seconds(result.jax_s),
                _seconds(result.museval_s),
                f"{result.ratio:.1f}",
                f"{result.largest_difference_db:.0e}",
            ]
            for result in self.results
        ]
        return titles, cells

    def terminal_table(self) -> Table:
        """Return the table for a terminal."""
        return terminal_table(*self.table(), _WORDS)

    def write(self, folder: Path) -> None:
        """Write evaluation_speed.json and table.md."""
        write_text(folder / "table.md", f"{markdown_table(*self.table(), _WORDS)}\n\n{self.caption()}\n")
        content = {
            "caption": self.caption(),
            "settings": dict(self.settings),
            "environment": environment(),
            "new_process": {protocol: dataclasses.asdict(process) for protocol, process in self.new_process.items()},
            "results": [{**dataclasses.asdict(result), "museval_over_jax": result.ratio} for result in self.results],
        }
        write_json(folder / "evaluation_speed.json", content)


def _seconds(found: Sequence[float]) -> str:
    text = f"{median(found):.2f}"
    return text if len(found) == 1 else f"{text} [{min(found):.2f}, {max(found):.2f}]"
