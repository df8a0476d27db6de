"""What `experiments.prepare` says of a set that is prepared."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from data_pipelines.prepared.index import SetIndex, by_split
from data_pipelines.prepared.records import TrackFacts


def summary(index: SetIndex, folder: Path) -> Table:
    """Return the table, a row for each split."""
    caption = (
        "Silent: sequences whose voice is below -60 dB of full scale. Clipped: samples of mixtures at full scale. "
        f"Stems against mixture: {_worst_sum(index)}."
    )
    table = Table(header_style="bold", caption=Text(caption), caption_justify="left")
    for title in ("split", "tracks", "hours", "frames", "sequences", "silent (%)", "clipped", "GB"):
        table.add_column(title, justify="left" if title == "split" else "right")
    splits = by_split(index.tracks)
    for split, tracks in splits.items():
        table.add_row(split, *_cells(tracks, index.shard_paths(folder, split)))
    if len(splits) > 1:
        paths = [path for split in splits for path in index.shard_paths(folder, split)]
        table.add_row("all", *_cells(index.tracks, paths), style="bold")
    return table


def _worst_sum(index: SetIndex) -> str:
    worst = max(index.tracks, key=lambda track: track.sum_error)
    if not worst.sum_error:
        return "all add up exactly"
    level = f"a difference {-10 * math.log10(worst.sum_error):.0f} dB below the mixture"
    where = f"{worst.sum_error_peak * 2**15:.0f} steps of 16 bits at {worst.sum_error_s:.2f} s"
    return f"the worst is {worst.name} ({worst.split}), {level}, the largest {where}"


def _cells(tracks: Sequence[TrackFacts], paths: Sequence[Path]) -> list[str]:
    records = sum(track.records for track in tracks)
    return [
        f"{len(tracks):,}",
        f"{sum(track.seconds for track in tracks) / 3600:.2f}",
        f"{sum(track.frames for track in tracks):,}",
        f"{records:,}",
        f"{100 * sum(len(track.silent) for track in tracks) / records:.1f}",
        f"{sum(track.clipped for track in tracks):,}",
        f"{sum(path.stat().st_size for path in paths) / 1e9:.2f}",
    ]
