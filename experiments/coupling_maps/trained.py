"""Which trained separators are looked into: checkpoints, rows of the ablation, or all rows of one."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.cli.console import Console, say
from experiments.cli.results import read_earlier
from experiments.coupling_maps.options import CouplingsOptions
from experiments.pages.folder import Scored
from madsep_jax.checkpoint.folder import checkpoint_folder, find_checkpoint, load_config
from madsep_jax.config.own import file_name, is_own, known_as
from madsep_jax.config.run import RunConfig
from madsep_jax.config.systems import ALL, expand, place_of, system_name
from madsep_jax.errors import InputError, did_you_mean, shown
from madsep_jax.models.contract import load_system

_ROW = "row.json"


@dataclasses.dataclass(frozen=True)
class Trained:
    """One training of a system."""

    name: str
    """That of its folder of results, where there are several."""
    system: str
    seed: int | None
    """None where it is not known: of imported weights."""
    given: Path
    """Its folder, as it was named."""
    checkpoint: Path
    config: RunConfig
    sdr_db: float | None
    """Of the voice, as the table of its ablation has it; None where it has not been scored."""

    @property
    def title(self) -> str:
        """System and seed."""
        return self.system if self.seed is None else f"{self.system}, seed {self.seed}"


def find_trained(options: CouplingsOptions, console: Console) -> list[Trained]:
    """Return what the options name, and run the code that they name.

    Of an ablation's folder these are its finished rows, in the order of its table; a line says which are left out.

    Raises:
        InputError: where there is none, a checkpoint is damaged, a system that is named has no row, or signals differ.
    """
    options.own.load()
    for system in options.systems:
        load_system(system, options.own.accept_changed_source)
    found = [one for path in options.checkpoint for one in _of_folder(path, console)]
    if options.systems and ALL not in options.systems:
        wanted = [
            one
            for name in map(known_as, options.systems)
            for one in ([name] if is_own(name) else expand((name,), (), ()))
        ]
        there = {one.system for one in found}
        for name in wanted:
            if name not in there:
                raise InputError(f"--systems {name}: found no training of it, {did_you_mean(name, there)}")
        found = [one for one in found if one.system in wanted]
    signals = {one.config.signal: one for one in found}
    if len(signals) > 1:
        one, other = list(signals.values())[:2]
        raise InputError(f"--checkpoint: found other signals in {one.given} than in {other.given}, expected the same")
    counts: dict[str, int] = {}
    for number, one in enumerate(found):
        counts[one.name] = counts.get(one.name, 0) + 1
        if counts[one.name] > 1:
            found[number] = dataclasses.replace(one, name=f"{one.name}-{counts[one.name]}")
    return found


def _of_folder(path: Path, console: Console) -> list[Trained]:
    """Return one checkpoint, or the rows of an ablation."""
    if not (path / "rows").is_dir():
        return [_read(path)]
    found = list(_finished(path, console))
    if not found:
        raise InputError(f"--checkpoint {shown(path)}: found no finished row with weights, expected some")
    return sorted(found, key=lambda one: (place_of(one.system), one.seed or 0))


def _finished(path: Path, console: Console) -> Iterator[Trained]:
    for row in sorted((path / "rows").glob(f"*/{_ROW}")):
        content = _row(row.parent)
        if content.get("seed") is None:  # mixture, and ideal ratio mask
            continue
        if content.get("status") == "done" and checkpoint_folder(row.parent).is_dir():
            yield _read(row.parent)
        else:
            say(console, f"{row.parent.name}: left out: {content.get('status')}")


def _read(given: Path) -> Trained:
    checkpoint = find_checkpoint(given)
    config, place = load_config(checkpoint), checkpoint.parent
    content = _row(place) if checkpoint == checkpoint_folder(place) else {}
    system = system_name(config)
    if system.startswith("custom-"):  # with fields of a preset, by which its ablation knows it nevertheless
        system = str(content.get("system", system))
    seed = content.get("seed")
    sdr_db = Scored(system, seed, content, place).score_db("SDR")
    return Trained(place.name if content else file_name(system), system, seed, given, checkpoint, config, sdr_db)


def _row(place: Path) -> dict[str, Any]:
    return read_earlier(place / _ROW, dict, "expected what the ablation wrote") or {}
