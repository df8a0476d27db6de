"""Everything about one accelerator in one command: whether it is right, how fast it is, and what takes the time.

`python -m experiments.device_report` needs an accelerator, PyTorch for the comparison, and nine minutes; without an
accelerator it reports on the CPU. Of packages it needs jax, flax, optax, orbax-checkpoint and numpy alone.
"""

import sys
from collections.abc import Sequence

from experiments.benchmarks.device_report.options import ReportOptions
from experiments.benchmarks.options import saved_options
from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, say, show_device
from experiments.cli.parser import App
from madsep_jax.errors import InputError

_DEFAULTS = ReportOptions()
app = App(name="device_report", usage="Usage: python -m experiments.device_report [OPTIONS]")


@app.default
def device_report(options: ReportOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Check, time and profile the separators on this machine's accelerator, in a given time.

    The most important comes first, and all is written after each step: train steps of the first two systems of --timed
    in each form, beside PyTorch; whether they are right, in float32 against the CPU in float64; their slowest
    operations; then the third system, a large batch, other precisions, longer sequences, inference, other batches;
    whether the other systems are right; what is left; the slowest operations of all the rest. A row has what its
    compiled program was planned to take beside what it took. What cannot fit into memory, or is planned to take 20
    times as long as another form, is said and not tried.
    """
    import jax

    from experiments.benchmarks.device_report.budget import Budget
    from experiments.benchmarks.device_report.progress import Progress
    from experiments.benchmarks.device_report.steps import steps_of
    from experiments.benchmarks.device_report.work import close, cut, leave, work
    from experiments.benchmarks.peer.settings import start_torch

    budget, console, options = Budget(options.budget_s), make_console(), options.sized()
    torch, no_torch = None, None
    if options.peer == "torch":
        try:
            torch = start_torch()
        except InputError as error:
            no_torch = f"not timed: {str(error).removeprefix('--peer torch: ')}"
    show_device(console, device)
    if no_torch:
        say(console, f"PyTorch is {no_torch}")
    if jax.default_backend() == "cpu":
        say(console, "No accelerator: this is a report on the CPU itself.")
        if options.rehearse:
            jax.config.update("jax_disable_most_optimizations", True)
    settings = {"options": saved_options(options), "torch": torch}
    progress = Progress(options, settings, console, budget, steps_of(options), no_torch)
    with budget.watched(lambda: cut(progress)):
        work(progress)
    close(progress)
    progress.finish()
    if progress.compiler.has_given_up:
        leave()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
