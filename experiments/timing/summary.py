"""The timing in few columns: one row for each piece of work, our fastest form beside PyTorch's two."""

from collections.abc import Sequence

from experiments.text_table import markdown_table
from experiments.timing.result import VariantResult

_PEERS = ("torch", "torch tuned")


def summary_table(results: Sequence[VariantResult], caption: str) -> str:
    """Return the table in markdown, its caption below; PyTorch's columns where it was timed."""
    of_precision = len({result.precision for result in results}) > 1
    peers = [peer for peer in _PEERS if any(result.variant == peer and result.median_s for result in results)]
    titles = ["system", "mode", "batch", "frames", *(["precision"] if of_precision else []), "parameters"]
    titles += ["GFLOP / s audio", "jax (ms)", *(f"{peer} (ms)" for peer in peers), *(f"/ {peer}" for peer in peers)]
    titles += ["audio s / s", "memory (MiB)", "peak (GFLOP/s)"]
    body = []
    for best in fastest(results):
        others = [next((r for r in results if r.variant == peer and r.same_work(best)), None) for peer in peers]
        body.append(
            [
                best.system,
                best.mode,
                best.batch,
                best.frames,
                *([best.precision] if of_precision else []),
                f"{best.parameters:,}",
                f"{best.flops / 1e9 / best.audio_s:.1f}",
                _cell(best.median_s, 1e3),
                *(_cell(other.median_s if other else None, 1e3) for other in others),
                *(_cell(best.ratio_to(peer, results), digits=2) for peer in peers),
                _cell(best.audio_s_per_s),
                _cell(best.memory.get("peak"), 2**-20, digits=0),
                _cell(best.peak_gflop_per_s, digits=0),
            ]
        )
    table = markdown_table(titles, body, words=("system", "mode", "precision"))
    return f"{table}\n\n{caption}\n"


def fastest(results: Sequence[VariantResult]) -> list[VariantResult]:
    """Return our fastest form in each case, in the order of the cases."""
    found: list[VariantResult] = []
    for result in results:
        if not result.ours or result.median_s is None:
            continue
        place = next((i for i, other in enumerate(found) if other.same_work(result)), None)
        if place is None:
            found.append(result)
        elif result.median_s < (found[place].median_s or 0):
            found[place] = result
    return found


def _cell(value: float | None, factor: float = 1.0, digits: int = 1) -> str:
    return "–" if value is None else f"{value * factor:,.{digits}f}"
