"""The options of `experiments.throughput`, and the way from a case to the results of all its variants."""

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
from cyclopts import Parameter

from experiments.benchmarks.case import Case, Form, Mode, Precision, Prepared
from experiments.benchmarks.equality import check_equal, check_outputs, small_case, training_loss
from experiments.benchmarks.options import VariantOptions, require_some
from experiments.benchmarks.rounds import Spread, Times, interleave, reason
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.ours import computing_in
from experiments.benchmarks.throughput.peak import MatrixProduct
from experiments.cli.options import Many, ManyOrNone, Out, Whole, option_class
from madsep_jax.config.io import to_dict
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import without_compilation_cache

#: The status of a row; others begin with `failed: ` and say why.
MEASURED = "measured"

#: What tells a case, and a row's.
CASE = ("system", "mode", "precision", "batch", "frames")

#: Both ways of PyTorch that are timed where it is the peer.
PEER_FORMS = ("torch", "torch tuned")

#: Seconds for which a matrix product is timed before each round.
_PEAK_S = 0.3

#: What is timed where no systems are named.
_FULL_SIZE_SYSTEMS = ("mad", "mad-twinnet", "dws-5-64", "dws-7-256")


@option_class
class ThroughputOptions(VariantOptions):
    """What to time, at which sizes, and where to keep the results."""

    systems: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems to time, by the names of `experiments.ablation`. Default: mad, mad-twinnet, dws-5-64 and dws-7-256; with
    --preset quick its small ones."""

    batches: Annotated[tuple[int, ...], Many] = (4,)
    """Sequences in a batch."""

    lengths: Annotated[tuple[int, ...], Many] = (60,)
    """Frames of a sequence, 10 on each side of them context."""

    modes: Annotated[tuple[Mode, ...], Many] = ("forward", "train")
    """Inference, train step, or both."""

    forms: Annotated[tuple[Form, ...], Many] = ("auto",)
    """Forms of our operations, as `compute.operations` of the configuration."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32",)
    """float32, in matrix products and convolutions too; tf32 (GPU only): what those round to; float64."""

    peer: Literal["torch"] | None = None
    """Time PyTorch as well, eager, on the same weights, after comparing its outputs with ours."""

    keep_freed_memory: Annotated[bool, Parameter(negative=())] = False
    """Have the C library keep the memory that both sides free, for their next step; glibc gives large arrays back to
    the system otherwise, and asks for each anew."""

    seed: Annotated[int, Whole] = 0
    """Of weights and data."""

    out: Annotated[Path | None, Out] = None
    """Folder of throughput.json, table.md, summary.md and plots; what was timed there before, in the same way and on
    the same machine, is kept. Default: runs/throughput-PRESET."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "batches", "lengths", "modes", "forms", "precisions")

    @property
    def folder(self) -> Path:
        """Return where the results are kept."""
        return self.out or Path("runs") / f"throughput-{self.preset}"

    def cases(self) -> list[Case]:
        """Return what is to be timed, one after the other. Raises InputError where one cannot be."""
        return [
            Case.of(system, mode, batch, frames, self.preset, precision=precision, seed=self.seed)
            for precision in dict.fromkeys(self.precisions)
            for system in self.expand(self.named_or(self.systems, _FULL_SIZE_SYSTEMS))
            for frames in dict.fromkeys(self.lengths)
            for batch in dict.fromkeys(self.batches)
            for mode in dict.fromkeys(self.modes)
        ]


def run_case(
    case: Case,
    forms: Sequence[Form],
    how: VariantOptions,
    with_torch: bool = False,
    on_stage: Callable[[str], object] = lambda stage: None,
    programs: Mapping[Form, ours.Program | Exception] | None = None,
) -> list[dict[str, Any]]:
    """Compile, compare and time all variants of a case; those that fail say why, and the others go on.

    Args:
        case: what is to be done.
        forms: of our operations.
        how: how many steps of each variant are timed, how long, and over how many turns.
        with_torch: time PyTorch as well.
        on_stage: called with what is being done.
        programs: our forms, compiled already, or why they are not.

    Returns:
        A row for each variant, see `make_row`.

    Raises:
        UnequalOutputsError: where two variants do not return the same.
        CompiledWhileTimedError: where JAX compiled anything in a timed step.
    """
    prepared: dict[str, Prepared] = {}
    failures: dict[str, str] = {}

    def attempt(name: str, prepare: Callable[[], Prepared]) -> None:
        on_stage(f"preparing {name}")
        try:
            prepared[name] = prepare()
        except (RuntimeError, MemoryError, InputError) as error:
            failures[name] = reason(error)

    with computing_in(case.precision):
        with without_compilation_cache():
            for form in forms:
                attempt(f"jax {form}", lambda form=form: ours.prepare(case, form, (programs or {}).get(form)))  # type: ignore[misc]
        if with_torch:
            _attempt_torch(case, attempt)
        check_outputs(case, prepared)

        product = MatrixProduct(case.precision)
        peaks: list[float] = []

        def on_round(number: int) -> None:
            on_stage(f"round {number}")
            peaks.append(product.gflop_per_s(_PEAK_S))

        runs = {name: one.run for name, one in prepared.items()}
        times = interleave(runs, how.steps, how.seconds, how.turns, on_round)
    times |= {name: Times(failure=failure) for name, failure in failures.items()}
    names = [f"jax {form}" for form in forms] + list(PEER_FORMS if with_torch else ())
    results = [make_row(case, name, prepared.get(name), times[name], peaks) for name in names]
    prepared.clear()
    free_memory(with_torch)
    return results


def make_row(
    case: Case, variant: str, prepared: Prepared | None, times: Times, peaks: Sequence[float]
) -> dict[str, Any]:
    """Return all that is known of a variant, without the parts of `Prepared` that are no numbers.

    Times are seconds of one step; what does not apply, or was not measured, is None.

    Args:
        case: what was done.
        variant: `jax` and the form of its operations, `torch`, or `torch tuned`.
        prepared: None where it could not be.
        times: of its steps.
        peaks: GFLOP/s of a large matrix product right before each round: what the machine could do then.
    """
    spread = Spread.of(times.step_s) if times.step_s else None
    gflop_per_s = case.flops / 1e9 / spread.median if spread else None
    peak = float(np.median(peaks)) if peaks else None
    return {
        **{name: getattr(case, name) for name in CASE},
        "variant": variant,
        "status": f"failed: {times.failure}" if times.failure else MEASURED,
        "parameters": case.parameters,
        "flops": case.flops,
        "audio_s": case.audio_s,
        "compile_s": prepared.compile_s if prepared else None,
        "median_s": spread.median if spread else None,
        "first_quartile_s": spread.first_quartile if spread else None,
        "third_quartile_s": spread.third_quartile if spread else None,
        "step_s": times.step_s,
        "round_peaks": list(peaks),
        "memory": prepared.memory if prepared else {},
        "accessed_bytes": prepared.accessed_bytes if prepared else None,
        "config": to_dict(case.config),
        "steps": len(times.step_s),
        "sequences_per_s": case.batch / spread.median if spread else None,
        "audio_s_per_s": case.audio_s / spread.median if spread else None,
        "gflop_per_s": gflop_per_s,
        "peak_gflop_per_s": peak,
        "peak_share": gflop_per_s / peak if gflop_per_s and peak else None,
    }


def compare_training_losses(case: Case, forms: Sequence[Form]) -> float | None:
    """Compare our training loss, by all forms, with PyTorch's, on a small batch of the case's system.

    Returns:
        The largest difference, as a share; None where PyTorch does not have the system.

    Raises:
        UnequalOutputsError: where it is larger than the precision allows.
    """
    from experiments.benchmarks.peer import run as peer

    small = small_case(case)
    with computing_in(case.precision):
        state = ours.initial_state(small.config, small.dtype)
        device = peer.peer_device(jax.default_backend())
        try:
            losses = {"torch": peer.training_loss(small, state.variables, device)}
        except InputError:
            return None
        losses |= {form: training_loss(small, form, state) for form in forms}
        return check_equal(small, "training losses", losses)


def _attempt_torch(case: Case, attempt: Callable[[str, Callable[[], Prepared]], None]) -> None:
    from experiments.benchmarks.peer import run as peer

    device = peer.peer_device(jax.default_backend())
    variables: Any = ours.initial_state(case.config, case.dtype).variables
    for form in PEER_FORMS:
        attempt(form, lambda form=form: peer.prepare(case, variables, form, device))  # type: ignore[misc]


def free_memory(with_torch: bool) -> None:
    """Leave nothing of this case to the next."""
    jax.clear_caches()
    gc.collect()
    if with_torch:
        from experiments.benchmarks.peer import run as peer

        peer.free_memory()
