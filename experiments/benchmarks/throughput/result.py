"""What was measured of one way to do a case's work, and what a folder holds of earlier runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.case import Case, Prepared
from experiments.benchmarks.rounds import Spread, Times
from experiments.benchmarks.throughput.peak import Peak
from experiments.cli.results import read_earlier
from madsep_jax.config.io import to_dict
from madsep_jax.errors import InputError
from madsep_jax.host.environment import environment

MEASURED = "measured"

#: What tells a case.
_CASE = ("system", "mode", "precision", "batch", "frames")


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """One row. Times are seconds of one step; what does not apply, or was not measured, is None."""

    system: str
    mode: str
    precision: str
    batch: int
    frames: int
    variant: str
    """`jax` and the form of its operations, `torch`, or `torch tuned`."""
    status: str = MEASURED
    """`measured`, or `failed: ` and why."""
    parameters: int
    flops: float
    """Floating-point operations of one step by the definition."""
    audio_s: float
    """Seconds of audio that one step goes forward by."""
    compile_s: float | None = None
    median_s: float | None = None
    first_quartile_s: float | None = None
    third_quartile_s: float | None = None
    step_s: list[float] = field(default_factory=list, repr=False)
    round_peaks: list[float] = field(default_factory=list, repr=False)
    """GFLOP/s of a large matrix product right before each round: what the machine could do then."""
    memory: dict[str, int] = field(default_factory=dict, repr=False)
    """Bytes. XLA's own plan; of PyTorch on a GPU its allocator's peak, on a CPU unknown."""
    accessed_bytes: float | None = None
    """XLA's count of memory traffic, in which the body of a loop counts once."""
    config: dict[str, Any] = field(repr=False)

    @classmethod
    def of(
        cls, case: Case, variant: str, prepared: Prepared | None, times: Times, peaks: Sequence[float]
    ) -> "VariantResult":
        """Return the result of a variant; `prepared` is None where it could not be. `peaks` are of each round."""
        measured: dict[str, Any] = {}
        if prepared is not None:
            measured = {name: getattr(prepared, name) for name in ("compile_s", "memory", "accessed_bytes")}
        if times.step_s:
            measured |= {f"{name}_s": value for name, value in vars(Spread.of(times.step_s)).items()}
        return cls(
            **{name: getattr(case, name) for name in (*_CASE, "parameters", "flops", "audio_s")},
            variant=variant,
            status=f"failed: {times.failure}" if times.failure else MEASURED,
            step_s=times.step_s,
            round_peaks=list(peaks),
            config=to_dict(case.config),
            **measured,
        )

    @property
    def ours(self) -> bool:
        """Whether it is a program of this project."""
        return self.variant.startswith("jax")

    @property
    def sequences_per_s(self) -> float | None:
        """Of the batch."""
        return self._per_second(self.batch)

    @property
    def audio_s_per_s(self) -> float | None:
        """How many times faster than the music plays."""
        return self._per_second(self.audio_s)

    @property
    def gflop_per_s(self) -> float | None:
        """Work of the definition done in a second."""
        return self._per_second(self.flops / 1e9)

    @property
    def peak_gflop_per_s(self) -> float | None:
        """What the machine could do meanwhile; the median of the rounds."""
        return float(np.median(self.round_peaks)) if self.round_peaks else None

    @property
    def peak_share(self) -> float | None:
        """Share of that which the work of the definition reaches."""
        return self.gflop_per_s / self.peak_gflop_per_s if self.gflop_per_s and self.peak_gflop_per_s else None

    def _per_second(self, amount: float) -> float | None:
        return amount / self.median_s if self.median_s else None

    def seconds_of(self, variants: Sequence[str], results: Sequence["VariantResult"]) -> dict[str, float | None]:
        """Return the median steps of some variants in the same case."""
        found = {other.variant: other.median_s for other in results if same_case(self, other)}
        return {variant: found.get(variant) for variant in variants}

    def ratio_to(self, variant: str, results: Sequence["VariantResult"]) -> float | None:
        """Return this time over that of another variant in the same case; below 1 is faster."""
        other_s = self.seconds_of([variant], results)[variant]
        return self.median_s / other_s if self.median_s and other_s else None


def same_case(one: Case | VariantResult, other: Case | VariantResult) -> bool:
    """Whether both are, or did, the same case."""
    return all(getattr(one, name) == getattr(other, name) for name in _CASE)


#: Options that say which cases are timed, and not how.
_OF_CASES = {"systems", "batches", "lengths", "modes", "precisions", "out"}

#: What of the environment may differ: nothing that decides about speed.
_OF_NO_MATTER = {"platform"}


@dataclass(frozen=True)
class Earlier:
    """The content of an earlier throughput.json that stays."""

    results: Sequence[VariantResult] = ()
    peaks: Mapping[str, Peak] = field(default_factory=dict)
    runs: Sequence[Mapping[str, Any]] = ()
    """The settings of each run."""

    @classmethod
    def find(cls, folder: Path, settings: Mapping[str, Any], cases: Sequence[Case]) -> "Earlier":
        """Read what a folder holds, without what is to be timed again.

        Raises:
            InputError: where it is damaged, or was measured in another way or on another machine.
        """
        names = [field.name for field in dataclasses.fields(VariantResult)]

        def read(content: Any) -> tuple[Earlier, Any]:
            results = [VariantResult(**{name: row[name] for name in names}) for row in content["results"]]
            peaks = {precision: Peak(**peak) for precision, peak in content["peaks"].items()}
            kept = [result for result in results if not any(same_case(result, case) for case in cases)]
            runs = [*content["earlier_runs"], content["settings"]]
            return cls(kept, peaks, runs), _how(content["settings"], content["environment"])

        earlier, how = read_earlier(folder / "throughput.json", read) or (cls(), None)
        if how not in (None, _how(settings, environment())):
            raise InputError(
                f"--out {folder}: holds a measurement with other settings, versions or another device; choose another "
                "folder"
            )
        return earlier


def _how(settings: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what has to agree. A switch that is off is left out, for files of before there was one."""
    options = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings["options"].items()
        if name not in _OF_CASES and value is not False
    }
    return {**settings, "options": options}, {name: found[name] for name in found if name not in _OF_NO_MATTER}
