"""The comparison as a table: in the terminal, in markdown, CSV and JSON."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from experiments import text_table
from experiments.rows import RowResult

_MOST_DB = 100


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    title: str
    csv_name: str
    value: Callable[[RowResult], object]
    format: str = ""

    def text(self, row: RowResult) -> str:
        """Return the cell as it is shown: ratios that only rounding keeps from infinity without their digits."""
        value = self.value(row)
        if self.csv_name.endswith("_db") and isinstance(value, float) and value > _MOST_DB:
            return f">{_MOST_DB}"
        return "–" if value is None else format(value, self.format)


COLUMNS = (
    Column("system", "system", lambda row: row.system),
    Column("seed", "seed", lambda row: row.seed),
    Column("SDR (dB)", "voice_sdr_db", lambda row: row.median_db("SDR"), ".2f"),
    Column("SIR (dB)", "voice_sir_db", lambda row: row.median_db("SIR"), ".2f"),
    Column("SAR (dB)", "voice_sar_db", lambda row: row.median_db("SAR"), ".2f"),
    Column("ISR (dB)", "voice_isr_db", lambda row: row.median_db("ISR"), ".2f"),
    Column("accomp. SDR (dB)", "accompaniment_sdr_db", lambda row: row.median_db("SDR", "accompaniment"), ".2f"),
    Column("masker params", "masker_parameters", lambda row: row.masker_parameters, ",d"),
    Column("total params", "total_parameters", lambda row: row.total_parameters, ",d"),
    Column("GFLOP / s audio", "gflop_per_audio_second", lambda row: row.gflop_per_audio_second, ".2f"),
    Column("train step (ms)", "train_step_ms", lambda row: _scaled(row.train_step_s, 1000), ".1f"),
    Column("compile (s)", "compile_s", lambda row: row.compile_s, ".1f"),
    Column("real-time factor", "real_time_factor", lambda row: row.real_time_factor, ".4f"),
)
STATUS = Column("status", "status", lambda row: row.status)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def shown_columns(rows: Sequence[RowResult]) -> tuple[Column, ...]:
    """Return the columns to show; the status only where a row failed."""
    return (*COLUMNS, STATUS) if any(row.failed for row in rows) else COLUMNS


def terminal_table(rows: Sequence[RowResult]) -> Table:
    """Return the table for a terminal."""
    return text_table.terminal_table(*_texts(rows), failed=[number for number, row in enumerate(rows) if row.failed])


def markdown_table(rows: Sequence[RowResult], caption: str) -> str:
    """Return the table in markdown, its caption below."""
    return f"{text_table.markdown_table(*_texts(rows))}\n\n{caption}\n"


def _texts(rows: Sequence[RowResult]) -> tuple[list[str], list[list[str]]]:
    columns = shown_columns(rows)
    return [column.title for column in columns], [[column.text(row) for column in columns] for row in rows]


def csv_table(rows: Sequence[RowResult]) -> str:
    """Return the table as CSV at full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = (*COLUMNS, STATUS)
    writer.writerow([column.csv_name for column in columns])
    writer.writerows([["" if (value := column.value(row)) is None else value for column in columns] for row in rows])
    return text.getvalue()
