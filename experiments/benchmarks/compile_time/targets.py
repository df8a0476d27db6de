"""Train steps compiled for devices that are not here: which, row by row, and what each plans."""

import itertools
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.options import CompileOptions, TargetOptions
from experiments.benchmarks.new_process import run_together
from experiments.benchmarks.planned.devices import Target, find_target
from experiments.benchmarks.planned.plan import Exchange, plan
from experiments.cli.results import read_earlier
from madsep_jax.config.io import to_dict
from madsep_jax.config.systems import ALL, place_of
from madsep_jax.errors import InputError

#: What tells a row.
KEY = ("target", "devices", "system", "batch", "frames", "precision", "form")

_FILE = "compile_time_targets.json"


@dataclass(frozen=True)
class PlannedCase:
    """One program to compile."""

    target: Target
    case: Case
    key: tuple[Any, ...]
    """As `KEY` names it."""

    def row(self) -> dict[str, Any]:
        """Compile and count it, in a process of its own; returns the row. Raises InputError where nothing can be."""
        told = dict(zip(KEY, self.key, strict=True))
        about, config = {name: told[name] for name in ("target", "system", "devices")}, to_dict(self.case.config)
        try:
            (found,) = run_together(plan, [{**about, "config": config}], [self.target.variables])
        except subprocess.TimeoutExpired:
            found = _failed("took more than an hour")
        except RuntimeError as error:
            found = _failed(f"its compiler has failed: {str(error).splitlines()[-1][:160]}")
        return {**told, **found, **_told(found, self.target, told["precision"])}


def _failed(reason: str) -> dict[str, Any]:
    unknown = ("compile_s", "memory", "count", "exchange", "floor_bytes", "compiler")
    return {**dict.fromkeys(unknown), "reason": reason}


def _told(found: Mapping[str, Any], target: Target, precision: str) -> dict[str, Any]:
    """Return what the facts of a device make of a plan; of what is not known None."""
    device, count, memory, floor = target.device, found["count"], found["memory"], found["floor_bytes"]
    floor_s = floor / device.bytes_per_s if floor else None
    if count is None:
        unknown = ("fits", "memory_s", "compute_s", "roofline_s", "efficiency")
        return {**dict.fromkeys(unknown), "floor_s": floor_s}
    compute_s = device.compute_s(precision, count["product_flops"], count["other_flops"])
    roofline_s = device.roofline_s(count["bytes"], compute_s, count["launches"])
    return {
        "fits": memory["peak"] <= device.memory_bytes if memory else None,
        "memory_s": count["bytes"] / device.bytes_per_s,
        "compute_s": compute_s,
        "roofline_s": roofline_s,
        "floor_s": floor_s,
        "efficiency": _efficiency(found["exchange"], roofline_s, device.link_bytes_per_s),
    }


def _efficiency(exchange: Mapping[str, Any], roofline_s: float, link_bytes_per_s: float | None) -> float | None:
    return Exchange(**exchange).efficiency(roofline_s, link_bytes_per_s) if link_bytes_per_s else None


def planned_cases(options: CompileOptions, targets: TargetOptions) -> list[PlannedCase]:
    """Return all that the options ask for. Raises InputError on a system, device or size that cannot be."""
    systems = options.expand(options.named_or(options.systems, (ALL,)))
    first_batch, first_length = targets.batches[0], options.lengths[0]
    sizes = [(batch, first_length) for batch in targets.batches]
    sizes += [(first_batch, length) for length in options.lengths]
    for devices, batch in itertools.product(targets.shared, targets.batches):
        if batch % devices:
            raise InputError(f"--batches: found {batch}, expected multiples of {devices}, as --shared says")
    ways = itertools.product(
        targets.targets(), dict.fromkeys(targets.shared), systems, dict.fromkeys(sizes),
        dict.fromkeys(targets.precisions), targets.forms,
    )  # fmt: skip
    return [
        PlannedCase(
            target,
            Case.of(system, "train", batch, frames, options.preset).changed(
                {**target.settings, "compute.precision": precision, "compute.operations": form}
            ),
            (target.name, devices, system, batch, frames, precision, form),
        )
        for target, devices, system, (batch, frames), precision, form in ways
    ]


@dataclass
class PlannedRows:
    """The rows that a folder has, of one preset."""

    folder: Path
    preset: str
    rows: dict[tuple[Any, ...], dict[str, Any]]
    """By their keys."""

    @classmethod
    def find(cls, folder: Path, preset: str) -> "PlannedRows":
        """Take up the rows of earlier runs. Raises InputError where they are of another preset, or damaged."""

        def read(content: Any) -> tuple[str, dict[tuple[Any, ...], dict[str, Any]]]:
            rows = {tuple(row[name] for name in KEY): row for row in content["rows"]}
            return content["settings"]["preset"], rows

        found = read_earlier(folder / _FILE, read)
        if found and found[0] != preset:
            raise InputError(f"--out {folder}: holds rows of the preset {found[0]}; choose another folder")
        return cls(folder, preset, found[1] if found else {})

    def missing(self, cases: Sequence[PlannedCase], again: bool) -> list[PlannedCase]:
        """Return what has to be compiled: what is not there, or all `again`."""
        return [case for case in cases if again or case.key not in self.rows]

    def add(self, case: PlannedCase) -> None:
        """Compile one and keep its row."""
        self.rows[case.key] = case.row()

    def ordered(self) -> list[dict[str, Any]]:
        """Return the rows in the order of a table: by device, system and size."""
        targets = list(dict.fromkeys(key[0] for key in self.rows))
        in_order = sorted(self.rows, key=lambda key: (targets.index(key[0]), key[1], place_of(key[2]), *key[3:]))
        return [self.rows[key] for key in in_order]


def launch_latencies(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what the devices' kernels are taken to cost; a description's file may be gone by now."""
    for name in dict.fromkeys(row["target"] for row in rows):
        try:
            yield f"{name} {find_target(name).device.launch_s * 1e6:g} µs"
        except InputError:
            continue
