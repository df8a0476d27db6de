"""What a folder holds of earlier runs, to which a new one adds."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.timing.cases import Case
from experiments.timing.peak import Peak
from experiments.timing.result import VariantResult
from madsep_jax.environment import environment
from madsep_jax.errors import InputError
from madsep_jax.files import read_json

#: Options that say which cases are timed, and not how.
_OF_CASES = {"systems", "batches", "lengths", "modes", "precisions", "out"}
#: What of the environment may differ: nothing that decides about speed.
_OF_NO_MATTER = {"platform"}


@dataclass(frozen=True)
class Earlier:
    """The content of an earlier throughput.json that stays."""

    results: Sequence[VariantResult] = ()
    peaks: Mapping[str, Peak] = dataclasses.field(default_factory=dict)
    runs: Sequence[Mapping[str, Any]] = ()
    """The settings of each run."""

    @classmethod
    def find(cls, folder: Path, settings: Mapping[str, Any], cases: Sequence[Case]) -> "Earlier":
        """Read what a folder holds, without what is to be timed again.

        Raises:
            InputError: where it is damaged, or was measured in another way or on another machine.
        """
        path = folder / "throughput.json"
        if not path.is_file():
            return cls()
        content = read_json(path)
        names = [field.name for field in dataclasses.fields(VariantResult)]
        try:
            results = [VariantResult(**{name: row[name] for name in names}) for row in content["results"]]
            peaks = {precision: Peak(**peak) for precision, peak in content["peaks"].items()}
            runs = [*content["earlier_runs"], content["settings"]]
            found = (_how(content["settings"]), _machine(content["environment"]))
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: is damaged, or of another version; choose another folder") from None
        if found != (_how(settings), _machine(environment())):
            raise InputError(
                f"--out {folder}: holds a measurement with other settings, versions or another device; choose another "
                "folder"
            )
        again = {_place(case) for case in cases}
        return cls([result for result in results if _place(result) not in again], peaks, runs)


def _place(work: Case | VariantResult) -> tuple[str, str, str, int, int]:
    return work.system, work.mode, work.precision, work.batch, work.frames


def _how(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to agree. A switch that is off is left out, for files of before there was one."""
    options = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings["options"].items()
        if name not in _OF_CASES and value is not False
    }
    return {**settings, "options": options}


def _machine(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in _OF_NO_MATTER}
