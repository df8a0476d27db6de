"""What the measurement of scaling writes for its reader."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from experiments.sharing.cases import Measured, efficiency
from madsep_jax.environment import cpu_cores
from madsep_jax.files import write_json, write_text

_CAPTION = (
    "Step: time of a train step of one seed, median of the rounds (each the median of its steps) and their range; the "
    "cases take turns, each in processes of its own. Efficiency: one device's step time over that of all devices, "
    "divided by their number where the batch is constant. Loss: of the first step."
)
_ON_CPU = (
    "The devices are parts of one processor, so that more of them add no speed: what is seen is the cost of sharing."
)


def markdown(measured: Sequence[Measured], settings: Mapping[str, Any]) -> str:
    """Return the table in markdown, its caption below."""
    scaled = bool(settings["batch_per_device"])
    rows = [_cells(one, measured, scaled) for one in measured]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True, stralign="right")
    on_cpu = settings["on"] == "cpu"
    machine = f"{cpu_cores()} CPU cores. {_ON_CPU}" if on_cpu else ""
    return f"{table}\n\n{_CAPTION} {machine}".rstrip() + "\n"


def _cells(one: Measured, measured: Sequence[Measured], scaled: bool) -> dict[str, str]:
    case, share = one.case, efficiency(one, measured, scaled)
    low, high = min(one.step_s), max(one.step_s)
    return {
        "system": case.system,
        "style": case.style,
        "processes": str(case.processes),
        "devices": str(case.devices),
        "batch": str(case.batch),
        "steps a call": str(case.steps_per_call),
        "seeds": str(case.seeds),
        "step (ms)": f"{1e3 * one.median_step_s:.1f}",
        "range (ms)": f"{1e3 * low:.1f} to {1e3 * high:.1f}",
        "efficiency": "–" if share is None else f"{share:.2f}",
        "compile (s)": f"{max(one.compile_s):.1f}",
        "loss": f"{one.loss:.6g}",
    }


def write(measured: Sequence[Measured], settings: Mapping[str, Any], folder: Path) -> None:
    """Write scaling.json, table.md and the plot."""
    scaled = bool(settings["batch_per_device"])
    rows = [{**one.row(), "efficiency": efficiency(one, measured, scaled)} for one in measured]
    write_json(folder / "scaling.json", {"settings": dict(settings), "cases": rows})
    write_text(folder / "table.md", markdown(measured, settings))
    _plot(measured, scaled, folder / "scaling.png")


def _plot(measured: Sequence[Measured], scaled: bool, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    times, shares = figure.subplots(1, 2)
    lines: dict[str, list[Measured]] = {}
    for one in measured:
        if one.case.steps_per_call == 1 and one.case.seeds == 1:
            lines.setdefault(f"{one.case.style}, processes: {one.case.processes}", []).append(one)
    for name, of_line in lines.items():
        devices = [one.case.devices for one in of_line]
        times.plot(devices, [1e3 * one.median_step_s for one in of_line], "o-", label=name)
        known = [(one.case.devices, share) for one in of_line if (share := efficiency(one, measured, scaled))]
        shares.plot([count for count, _ in known], [share for _, share in known], "o-", label=name)
    for axes, label in ((times, "step (ms)"), (shares, "efficiency")):
        axes.set_xlabel("devices")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.legend()
    figure.savefig(path, dpi=120)
