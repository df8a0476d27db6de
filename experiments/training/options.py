"""The options that say when a training is saved, and which of its checkpoints are kept."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from experiments.cli.options import Whole
from madsep_jax.config.saving import Keep
from madsep_jax.errors import InputError


@Parameter(name="*", group="Checkpoints")
@dataclass(frozen=True, kw_only=True)
class SaveOptions:
    """When to save, and what to keep. A training is saved at its end in any case, and where songs are validated on."""

    save_every: float = 60.0
    """Save the training when so many seconds have gone by since the last time."""

    save_every_steps: Annotated[int | None, Whole] = None
    """Save it after every so many steps instead."""

    keep_every: Annotated[int | None, Whole] = None
    """Keep the checkpoints of steps that are multiples of this. Default: only the last three and the best."""

    def __post_init__(self) -> None:
        if not self.save_every >= 0:
            raise InputError(f"--save-every: found {self.save_every}, expected 0 or more seconds")
        for name in ("save_every_steps", "keep_every"):
            found = getattr(self, name)
            if found is not None and found < 1:
                raise InputError(f"--{name.replace('_', '-')}: found {found}, expected at least 1")

    def keep(self) -> Keep:
        """Return what is kept."""
        return Keep(every_steps=self.keep_every)
