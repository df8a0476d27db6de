"""The options of `experiments.dispatch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from experiments.benchmarks.options import SizeOptions, require_some
from experiments.cli.options import Many, Out, Whole, option_class, require_at_least

if TYPE_CHECKING:
    from experiments.benchmarks.case import Case


@option_class
class DispatchOptions(SizeOptions):
    """What to measure, and where to keep the results."""

    systems: Annotated[tuple[str, ...], Many] = ("mad", "dws-3-16", "dae")
    """Systems to train, by the names of `experiments.ablation`."""

    preset: str = "quick"
    """Size of the signal and recipe: quick (a quarter of the size), or paper."""

    batch: Annotated[int, Whole] = 4
    """Sequences in a batch of each seed."""

    steps_per_call: Annotated[int, Whole] = 16
    """Steps in one call, compared with 1."""

    seeds: Annotated[int, Whole] = 5
    """Seeds trained together, compared with 1."""

    steps: Annotated[int, Whole] = 16
    """Timed steps of each seed, way and round, in whole calls."""

    rounds: Annotated[int, Whole] = 5
    """How often each way is measured, in turns."""

    out: Annotated[Path, Out] = Path("runs") / "dispatch"
    """Folder of dispatch.json and table.md."""

    def __post_init__(self) -> None:
        require_at_least(self, batch=1, steps_per_call=2, seeds=2, steps=1, rounds=1)
        require_some(self, "systems")

    def cases(self) -> "list[Case]":
        """Return the systems at their size. Raises InputError on an unknown system or preset."""
        from experiments.benchmarks.case import Case

        return [Case.of(system, "train", self.batch, None, self.preset) for system in self.expand(self.systems)]
