"""Which steps the calls of a compiled program do."""

from collections.abc import Iterator


def call_sizes(first_step: int, total_steps: int, steps_per_call: int, epoch: int | None = None) -> Iterator[int]:
    """Yield how many steps each call does; with an epoch's steps given, no call goes over the end of an epoch.

    Args:
        first_step: steps done before.
        total_steps: of the whole training.
        steps_per_call: at most.
        epoch: steps of an epoch, at whose end something is to be done with the state of just that step.
    """
    done = first_step
    while done < total_steps:
        left = total_steps - done if epoch is None else min(total_steps - done, epoch - done % epoch)
        yield min(steps_per_call, left)
        done += min(steps_per_call, left)
