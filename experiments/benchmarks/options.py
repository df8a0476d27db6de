"""Options that several benchmarks have, and what their checks and files have in common."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments.cli.options import Preset, Systems, Whole, flag, option_class, require_at_least, require_positive
from madsep_jax.config.systems import expand
from madsep_jax.errors import InputError

Mode = Literal["forward", "train"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
Form = Literal["auto", "plain", "fast"]

#: Small systems, which are measured with --preset quick where none are named.
_QUICK_SYSTEMS = ("mad", "dws-3-16", "dws-5-32")


@option_class
class SizeOptions:
    """At which size."""

    preset: Preset = "paper"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    def expand(self, systems: tuple[str, ...]) -> list[str]:
        """Return the systems of those names, families of them one by one. Raises InputError on an unknown one."""
        return expand(systems, (), (), self.preset)

    def named_or(self, systems: tuple[str, ...], full_size: tuple[str, ...]) -> tuple[str, ...]:
        """Return the systems, where none are named those that fit the size."""
        return systems or (_QUICK_SYSTEMS if self.preset == "quick" else full_size)


@option_class
class SystemOptions(SizeOptions):
    """Which system."""

    system: Annotated[str, Systems] = "mad"
    """System to train, by the names of `experiments.ablation`."""

    def __post_init__(self) -> None:
        if len(self.expand((self.system,))) != 1:
            raise InputError(f"--system: found {self.system!r}, expected one system")


@option_class
class VariantOptions(SizeOptions):
    """How long each variant of a piece of work is timed."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each variant."""

    seconds: float = 60.0
    """A variant whose timed steps take so long in all does fewer, but one in each turn."""

    turns: Annotated[int, Whole] = 5
    """Over how many turns the steps of a variant are spread. Each starts with one more step, which is not timed."""

    def __post_init__(self) -> None:
        require_at_least(self, steps=1, turns=1)
        require_positive(self, "seconds")


def require_some(options: object, *names: str) -> None:
    """Raise InputError where one of these options, each a list, is empty."""
    for name in names:
        if not getattr(options, name):
            raise InputError(f"{flag(name)}: found nothing, expected at least one")


def saved_options(options: Any, **changes: Any) -> dict[str, Any]:
    """Return all options for saving beside a result, of the result's folder the name alone."""
    out = changes.pop("out", options.out)
    return {**asdict(options), "out": Path(out).name, **changes}
