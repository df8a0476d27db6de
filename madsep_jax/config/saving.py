"""When a training is saved, and which of its checkpoints are kept."""

from dataclasses import dataclass

from madsep_jax.config.fields import Settings, option, positive, zero_or_more


@dataclass(frozen=True, kw_only=True)
class SavingConfig(Settings):
    """When to save, and what to keep. A training is saved at its end in any case, and where songs are validated on.

    Kept are the last few checkpoints, the best one, and some for good.
    """

    save_every: float = option(
        60.0,
        "Save the training when so many seconds have gone by since the last time.",
        zero_or_more("seconds"),
        flag="--save-every",
        refused="0 or more seconds",
    )
    save_every_steps: int | None = option(
        None,
        "Save it after every so many steps instead.",
        positive("number of steps"),
        flag="--save-every-steps",
        refused="at least 1",
    )
    keep_last: int = option(
        3,
        "So many of the last ones: where the newest is damaged, a training goes on from the one before.",
        positive("number of checkpoints"),
    )
    keep_every: int | None = option(
        None,
        "Keep the checkpoints of steps that are multiples of this. Default: only the last three and the best.",
        positive("number of steps"),
        flag="--keep-every",
        refused="at least 1",
    )
