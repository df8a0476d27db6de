"""The way from a case to the results of all its variants."""

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.case import Case, PreparedCase
from experiments.benchmarks.equality import check_equal, check_outputs, small_case, training_loss
from experiments.benchmarks.options import Form, VariantOptions
from experiments.benchmarks.rounds import Spread, Times, interleave, reason
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.ours import timed_in
from experiments.benchmarks.throughput.peak import MatrixProduct
from madsep_jax.config.io import to_dict
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import without_compilation_cache

#: The status of a row; others begin with `failed: ` and say why.
MEASURED = "measured"

#: What tells a case, and a row's.
CASE = ("system", "mode", "precision", "batch", "frames")

#: PyTorch's variants, by what is asked for as the peer; see `experiments.benchmarks.peer.run.PeerForm`.
PEERS = {"torch": ("torch", "torch tuned"), "torch-compile": ("torch", "torch tuned", "torch compiled")}

#: Seconds for which a matrix product is timed before each round.
_PEAK_S = 0.3


def run_case(
    case: Case,
    forms: Sequence[Form],
    how: VariantOptions,
    peers: Sequence[str] = (),
    on_stage: Callable[[str], object] = lambda stage: None,
    programs: Mapping[Form, ours.Program | Exception] | None = None,
) -> list[dict[str, Any]]:
    """Compile, compare and time all variants of a case; those that fail say why, and the others go on.

    Args:
        case: what is to be done.
        forms: of our operations.
        how: how many steps of each variant are timed, how long, and over how many turns.
        peers: variants of PyTorch that are timed as well.
        on_stage: called with what is being done.
        programs: our forms, compiled already, or why they are not.

    Returns:
        A row for each variant, see `make_row`.

    Raises:
        UnequalOutputsError: where two variants do not return the same.
        CompiledWhileTimedError: where JAX compiled anything in a timed step.
    """
    prepared: dict[str, PreparedCase] = {}
    failures: dict[str, str] = {}

    def attempt(name: str, prepare: Callable[[], PreparedCase]) -> None:
        on_stage(f"preparing {name}")
        try:
            prepared[name] = prepare()
        except (RuntimeError, MemoryError, InputError) as error:
            failures[name] = reason(error)

    with timed_in(case.precision):
        with without_compilation_cache():
            for form in forms:
                attempt(f"jax {form}", lambda form=form: ours.prepare(case, form, (programs or {}).get(form)))  # type: ignore[misc]
        if peers:
            _attempt_torch(case, peers, attempt)
        check_outputs(case, prepared)

        product = MatrixProduct(case.precision)
        peaks: list[float] = []

        def on_round(number: int) -> None:
            on_stage(f"round {number}")
            peaks.append(product.gflop_per_s(_PEAK_S))

        runs = {name: one.run for name, one in prepared.items()}
        times = interleave(runs, how.steps, how.seconds, how.turns, on_round)
    times |= {name: Times(failure=failure) for name, failure in failures.items()}
    names = [f"jax {form}" for form in forms] + list(peers)
    results = [make_row(case, name, prepared.get(name), times[name], peaks) for name in names]
    prepared.clear()
    free_memory(bool(peers))
    return results


def make_row(
    case: Case, variant: str, prepared: PreparedCase | None, times: Times, peaks: Sequence[float]
) -> dict[str, Any]:
    """Return all that is known of a variant, without the parts of `PreparedCase` that are no numbers.

    Times are seconds of one step; what does not apply, or was not measured, is None.

    Args:
        case: what was done.
        variant: `jax` and the form of its operations, or one of PyTorch's.
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
    with timed_in(case.precision):
        state = ours.initial_state(small.config, small.dtype)
        device = peer.peer_device(jax.default_backend())
        try:
            losses = {"torch": peer.training_loss(small, state.variables, device)}
        except InputError:
            return None
        losses |= {form: training_loss(small, form, state) for form in forms}
        return check_equal(small, "training losses", losses)


def _attempt_torch(
    case: Case, peers: Sequence[str], attempt: Callable[[str, Callable[[], PreparedCase]], None]
) -> None:
    from experiments.benchmarks.peer import run as peer

    device = peer.peer_device(jax.default_backend())
    variables: Any = ours.initial_state(case.config, case.dtype).variables
    for form in peers:
        attempt(form, lambda form=form: peer.prepare(case, variables, form, device))  # type: ignore[misc]


def free_memory(with_torch: bool) -> None:
    """Leave nothing of this case to the next."""
    jax.clear_caches()
    gc.collect()
    if with_torch:
        from experiments.benchmarks.peer import run as peer

        peer.free_memory()
