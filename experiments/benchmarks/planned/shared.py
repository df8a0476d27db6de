"""A train step that several devices share, compiled for devices that are not here: what they exchange, and how long.

How long is by bytes alone, as if each exchange were a ring over all links of a device and nothing went on beside it.
With n devices that each give b bytes, one of them sends

- all-reduce: 2 (n - 1) / n · b (reduced piece by piece around the ring, then handed around);
- all-gather: (n - 1) · b;
- reduce-scatter: (n - 1) / n · b.

The efficiency, t / (t + exchanges) where t is the time of all else, is therefore less than what devices reach that
exchange gradients while they still compute others, and more where exchanges are small: to each of them belongs a
latency that no maker states, which `exchanges` tells the number of.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax

from experiments.benchmarks.case import Case
from experiments.benchmarks.planned.count import Collective, count_program
from experiments.benchmarks.planned.devices import Target, find_target
from experiments.benchmarks.planned.plan import topology_devices
from madsep_jax.config.io import from_dict
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.memory import planned_memory
from madsep_jax.parallel.layout import compile_step, make_layout


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What each of n devices exchanges with the others in one step."""

    exchanges: int
    """Loops times their turns."""
    in_loops: int
    """Of these, those within loops."""
    given_bytes: int
    largest_bytes: int
    """That a device gives in one exchange: the gradient's."""
    sent_bytes: float

    @classmethod
    def of(cls, collectives: Sequence[Collective], devices: int) -> "Exchange":
        """Add up those of a program."""
        return cls(
            exchanges=sum(one.runs for one in collectives),
            in_loops=sum(one.runs for one in collectives if one.in_loop),
            given_bytes=sum(one.bytes * one.runs for one in collectives),
            largest_bytes=max((one.bytes for one in collectives), default=0),
            sent_bytes=sum(sent_bytes(one.kind, one.bytes, devices) * one.runs for one in collectives),
        )

    def efficiency(self, other_s: float, link_bytes_per_s: float, exchange_s: float = 0.0) -> float:
        """Return the share of a step's time in which it does all else, which takes so long.

        `exchange_s` is what an exchange takes beside its bytes.
        """
        return other_s / (other_s + self.sent_bytes / link_bytes_per_s + self.exchanges * exchange_s)


def sent_bytes(kind: str, given: int, devices: int) -> float:
    """Return what one device sends in an exchange around a ring."""
    others = devices - 1
    shares = {"all-reduce": 2 * others / devices, "all-gather": others, "reduce-scatter": others / devices}
    return given * shares.get(kind, 1)


def plan_shared(
    target: str, config: Mapping[str, Any], devices: int, style: Literal["jit", "pmap"] = "jit"
) -> dict[str, Any]:
    """Compile the train step that so many devices share, and count it: the work of a process of its own.

    Args:
        target: its name; `cpu` is that of this process's own devices.
        config: of the run, as JSON values; its batch is that of all devices together.
        devices: that share it.
        style: of `ParallelConfig`.

    Returns:
        `memory` of one device, in bytes by what it is for; `count`, a `ProgramCount` of what one device does;
        `exchange`, an `Exchange`.

    Raises:
        InputError: where the target has not so many devices, or they cannot share the batch.
    """
    run = from_dict(RunConfig, dict(config))
    layout = make_layout(run, ParallelConfig(style=style), devices=_devices(target, devices))
    shapes = layout.shapes(*Case(system=target, mode="train", config=run).shapes())
    with without_compilation_cache():
        compiled = compile_step(layout, *shapes)
    count = count_program(compiled.as_text())
    exchange = Exchange.of(count.collectives, devices)
    return {
        "memory": planned_memory(compiled),
        "count": dataclasses.asdict(count),
        "exchange": dataclasses.asdict(exchange),
    }


def _devices(target: str, count: int) -> list[jax.Device]:
    if target == "cpu":
        return jax.devices("cpu")[:count]
    found = topology_devices(with_devices(find_target(target), count))
    if count > len(found):
        raise InputError(f"--devices: found {count}, expected at most the {len(found)} of {target}")
    return list(found[:count])


def with_devices(target: Target, count: int) -> Target:
    """Return a target of so many GPUs in one machine; that of a TPU has as many chips as its topology says."""
    return dataclasses.replace(target, topology=f"1x1x{count}") if target.platform == "cuda" else target
