"""The tables of a page: the scores of systems and of their seeds, settings, and what the results were made with."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.pages.folder import VOICE, ResultsFolder, Scored
from madsep_jax.config.io import to_dict
from madsep_jax.config.presets import PRESETS, preset_config
from madsep_jax.config.systems import place_of


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it is sorted by; None is sorted last."""

    text: str
    value: float | str | None = None
    marked: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table whose columns can be sorted."""

    name: str
    """An identifier."""
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    words: int = 1
    """So many columns on the left hold words."""
    failed: list[bool] = field(default_factory=list)


def number_cell(value: float | None, form: str, factor: float = 1, most: float | None = None) -> Cell:
    """Return a cell of a number; of what is not known a dash."""
    if value is None:
        return Cell("–")
    value *= factor
    return Cell(f">{most:g}" if most is not None and value > most else _shown(value, form), value)


def _shown(value: float, form: str = ".2f") -> str:
    return format(value, form).replace("-", "−")


#: What a row of an ablation says beside its scores: title, name in results.json, format, factor.
_ABOUT = (
    ("masker params", "masker_parameters", ",d", 1),
    ("total params", "total_parameters", ",d", 1),
    ("GFLOP / s audio", "gflop_per_audio_second", ".2f", 1),
    ("train step (ms)", "train_step_s", ".1f", 1000),
    ("compile (s)", "compile_s", ".1f", 1),
    ("training (s)", "train_s", ".0f", 1),
    ("real-time factor", "real_time_factor", ".4f", 1),
)

#: Of a ratio that only rounding keeps from infinity the digits are not shown.
_MOST_DB = 100.0


def score_tables(folders: Sequence[ResultsFolder]) -> list[PageTable]:
    """Return the table of systems and, where one has several seeds, that of all trainings."""
    groups = [(folder, seeds) for folder in folders for seeds in folder.systems.values()]
    found = [_score_table(folders, "systems", "Systems", groups)]
    if any(len(seeds) > 1 for _, seeds in groups):
        alone = [(folder, [one]) for folder, seeds in groups for one in seeds]
        found.append(_score_table(folders, "seeds", "Each training", alone))
    return [table for table in found if table.rows]


def _score_table(
    folders: Sequence[ResultsFolder], name: str, title: str, groups: Sequence[tuple[ResultsFolder, list[Scored]]]
) -> PageTable:
    several = len(folders) > 1
    targets = list(dict.fromkeys(target for folder in folders for target in folder.targets)) or [VOICE]
    by_target = not all(folder.is_ablation for folder in folders)
    metrics = [m for m in ("SDR", "SIR", "SAR", "ISR") if any(m in folder.metrics for folder in folders)]
    about = [column for column in _ABOUT if any(one.about.get(column[1]) is not None for _, s in groups for one in s)]
    failing = any(one.about.get("status", "done") != "done" for _, seeds in groups for one in seeds)
    columns = ["system", *(["folder"] if several else []), *(["source"] if by_target else [])]
    words = len(columns)
    columns += ["seed" if name == "seeds" else "seeds"] if any(s[0].seed is not None for _, s in groups) else []
    has_seeds = len(columns) > words
    columns += [f"{folders[0].title(metric)} (dB)" for metric in metrics]
    columns += ["accomp. SDR (dB)"] if not by_target and "accompaniment" in targets else []
    columns += [title for title, *_ in about] + (["status"] if failing else [])
    rows, failed = [], []
    for folder, seeds in groups:
        for target in targets if by_target else [VOICE]:
            cells = [_system_cell(seeds[0].system), *([Cell(folder.label, folder.label)] if several else [])]
            cells += [Cell(target, target)] if by_target else []
            if has_seeds:
                seed = seeds[0].seed if name == "seeds" else len(seeds)
                cells.append(number_cell(None if seeds[0].seed is None else seed, "d"))
            cells += [_score_cell(seeds, metric, target) for metric in metrics]
            if not by_target and "accompaniment" in targets:
                cells.append(_score_cell(seeds, "SDR", "accompaniment"))
            cells += [_about_cell(seeds, value, form, factor) for _, value, form, factor in about]
            status = "; ".join(dict.fromkeys(one.about.get("status", "done") for one in seeds))
            rows.append(cells + ([Cell(status, status)] if failing else []))
            failed.append(status != "done")
    return PageTable(name, title, columns, rows, words, failed)


def _system_cell(system: str) -> Cell:
    return Cell(system, system)


def _score_cell(seeds: Sequence[Scored], metric: str, target: str) -> Cell:
    """Return the mean of the seeds, ± their standard deviation; of one its 95 % interval over songs."""
    found = [value for one in seeds if (value := one.score_db(metric, target)) is not None]
    if not found:
        return Cell("–")
    mean = statistics.fmean(found)
    if len(found) > 1:
        return Cell(f"{_shown(mean)} ± {statistics.stdev(found):.2f}", mean)
    cell, interval = number_cell(mean, ".2f", most=_MOST_DB), seeds[0].interval_db(metric, target)
    if len(seeds) > 1 or interval is None or mean > _MOST_DB:
        return cell
    return Cell(f"{cell.text} [{_shown(interval[0])}, {_shown(interval[1])}]", mean)


def _about_cell(seeds: Sequence[Scored], name: str, form: str, factor: float) -> Cell:
    found = [value for one in seeds if (value := one.about.get(name)) is not None]
    if not found:
        return Cell("–")
    value = statistics.median(found)
    return number_cell(int(value) if form.endswith("d") else value, form, factor)


def side_by_side_table(folders: Sequence[ResultsFolder]) -> PageTable | None:
    """Return the voice's SDR of the systems that several folders have, and how far these lie apart.

    Beside it stands how far the seeds of each scatter, where there are several.
    """
    rows = []
    for name in dict.fromkeys(name for folder in folders for name in folder.systems):
        cells = [_score_cell(folder.systems.get(name, []), "SDR", VOICE) for folder in folders]
        found = [cell.value for cell in cells if isinstance(cell.value, float)]
        if len(found) > 1:
            rows.append([_system_cell(name), *cells, number_cell(max(found) - min(found), ".2f")])
    titles = ["system", *(folder.label for folder in folders), "apart (dB)"]
    return PageTable("side-by-side", "Side by side: SDR of the voice (dB)", titles, rows) if rows else None


def settings_table(folders: Sequence[ResultsFolder]) -> PageTable | None:
    """Return the resolved settings of the ablations, marked where they differ from the preset or from each other."""
    shown = [folder for folder in folders if isinstance(folder.content.get("base"), dict)]
    if not shown:
        return None
    presets = [_preset(folder.content["base"]) for folder in shown]
    settings = [_flat(folder.content["base"]) for folder in shown]
    names = [n for n in dict.fromkeys(n for one in settings for n in one) if not _is_of_rows(n)]
    one_preset = presets[0] if all(preset == presets[0] for preset in presets) else {}
    rows = []
    for name in names:
        values = [one.get(name, _NOT_THERE) for one in settings]
        differ = any(value != values[0] for value in values)
        cells = [Cell(name, name)]
        cells += [Cell(_text(one_preset.get(name, _NOT_THERE)))] if one_preset else []
        for value, preset in zip(values, presets, strict=True):
            unlike = name in preset and value is not _NOT_THERE and preset[name] != value
            cells.append(Cell(_text(value), marked=differ or unlike))
        rows.append(cells)
    rows.sort(key=lambda cells: not any(cell.marked for cell in cells))  # what differs first
    titles = ["setting", *([f"preset {settings[0].get('preset', '')}"] if one_preset else [])]
    titles += [folder.label for folder in shown] if len(shown) > 1 else ["here"]
    return PageTable("settings", "Settings of all rows", titles, rows)


_NOT_THERE: Any = object()


def _text(value: Any) -> str:
    return "–" if value is _NOT_THERE else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _preset(base: Mapping[str, Any]) -> dict[str, Any]:
    name = base.get("preset")
    return _flat(to_dict(preset_config(name))) if name in PRESETS else {}


def _is_of_rows(name: str) -> bool:
    return name.startswith("masker.") or name == "training.seed"


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def systems_table(folders: Sequence[ResultsFolder]) -> PageTable | None:
    """Return what each system sets beyond the settings of all rows."""
    rows = {}
    for folder in folders:
        base = _flat(folder.content.get("base") or {})
        for system, seeds in folder.systems.items():
            config = seeds[0].about.get("config")
            if config:
                own = [f"{n} = {_text(v)}" for n, v in _own(_flat(config), base)]
                rows[system] = [_system_cell(system), Cell(", ".join(own))]
    ordered = [rows[system] for system in sorted(rows, key=place_of)]
    return PageTable("own-settings", "Settings of each system", ["system", "its own"], ordered, 2) if rows else None


def _own(config: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if name.startswith("masker.") or (name != "training.seed" and base.get(name, value) != value):
            yield name, value


def made_with_table(folders: Sequence[ResultsFolder]) -> PageTable | None:
    """Return device and versions, marked where the folders differ."""
    shown = [folder for folder in folders if folder.content.get("environment")]
    if not shown:
        return None
    found = [_flat(folder.content["environment"]) for folder in shown]
    rows = []
    for name in dict.fromkeys(n for one in found for n in one):
        values = [one.get(name, _NOT_THERE) for one in found]
        differ = any(value != values[0] for value in values)
        rows.append([Cell(name.replace("_", " "), name), *(Cell(_text(value), marked=differ) for value in values)])
    titles = [folder.label for folder in shown] if len(shown) > 1 else ["here"]
    return PageTable("made-with", "Device and versions", ["", *titles], rows)
