"""What the rows of an experiment need of each device's memory, by the compiler's plan, and what would make them fit."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax

from madsep_jax.config.io import override
from madsep_jax.config.maskers import MaskerConfig
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import cpu_cores
from madsep_jax.host.memory import device_bytes, memory_errors, planned_memory
from madsep_jax.parallel.devices import sharing_devices
from madsep_jax.parallel.layout import compile_step, make_layout
from madsep_jax.parallel.program import Program

#: Bytes of each device that a step needs; infinite where the compiler gives up, None where it does not tell.
Planned = float | None

#: What shortens compiling and leaves the plan as it is. A GPU's compiler would try kernels out.
_QUICKER: dict[str, dict[str, int]] = {
    "cpu": {"xla_backend_optimization_level": 0},
    "gpu": {"xla_gpu_autotune_level": 0},
}
_MOST_THREADS = 8


@dataclass(frozen=True)
class RowMemory:
    """What one row needs."""

    planned: Planned
    there: int | None
    """Bytes that programs can have of a device; None where nobody tells."""
    remedy: str | None = None
    """Options with which the row fits; None where it does as it is, or none is known."""

    @property
    def fits(self) -> bool | None:
        """Whether it does; None where that is not known."""
        return None if self.planned is None or self.there is None else self.planned <= self.there

    def line(self, name: str) -> str:
        """Return what to say of a row that does not fit."""
        helps = f"fits with {self.remedy}" if self.remedy else "none of --remat, --accumulate and --precision helps"
        return f"{name}: does not fit: needs {gib(self.planned)} of the {gib(self.there)} that are free; {helps}"


def gib(count: Planned) -> str:
    """Return bytes for a person to read."""
    if count is None:
        return "–"
    return f"{count / 2**30:.1f} GiB" if count < float("inf") else "too much"


def plan_step(config: RunConfig, parallel: ParallelConfig, seeds: int = 1) -> Planned:
    """Compile a row's step for this process's devices, run nothing, and return what each needs."""
    program = Program(parallel.steps_per_call, seeds)
    layout = make_layout(config, parallel, program)
    if not layout.compiles_ahead:
        return None
    layout.compiler_options = {**layout.compiler_options, **_QUICKER.get(layout.devices[0].platform, {})}
    try:
        with memory_errors():
            plan = planned_memory(compile_step(layout, *layout.shapes(*program.shapes(config))))
    except MemoryError:
        return float("inf")
    return plan.get("peak")


class RowsMemory:
    """The memory of all rows. It asks the compiler as seldom as will do, and for several rows at a time.

    Of rows that differ in their seed it asks for one, and of rows that differ in depth for the least and the deepest:
    equal blocks run in a loop, each of which keeps as much for the gradient, so that what lies between is on a line.
    """

    def __init__(
        self, rows: Iterable[RunConfig], planned: Callable[[RunConfig], Planned], there: int | None, devices: int = 1
    ) -> None:
        """Ask nothing yet. `planned` asks for one; so many devices, which can give so much each, share a batch."""
        self._rows, self._planned, self._there, self._devices = list(rows), planned, there, devices
        self._found: dict[RunConfig, Planned] = {}
        self._depths: dict[MaskerConfig, set[int]] = {}
        for config in self._rows:
            if depth := _depth(config):
                self._depths.setdefault(_at_depth(config, 1).masker, set()).add(depth)

    def asked(self) -> list[RunConfig]:
        """Return what the compiler is asked for, for the rows as they are."""
        return list(dict.fromkeys(end for config in self._rows for end in self._ends(config)))

    def ask(self, configs: Iterable[RunConfig], advance: Callable[[], None] = lambda: None) -> None:
        """Ask for those that are not known; `advance` is called after each."""

        def one(config: RunConfig) -> None:
            self._found[config] = self._planned(config)
            advance()

        with without_compilation_cache(), ThreadPoolExecutor(min(cpu_cores(), _MOST_THREADS)) as pool:
            list(pool.map(one, [config for config in configs if config not in self._found]))

    def of(self, config: RunConfig) -> RowMemory:
        """Return what a row needs, and the first remedy with which it fits where it does not."""
        found = RowMemory(self._needed(config), self._there)
        if found.planned and found.there and not found.fits:
            for remedy, changes in remedies(config, self._devices, found.planned / found.there):
                if RowMemory(self._needed(override(config, changes)), self._there).fits:
                    return dataclasses.replace(found, remedy=remedy)
        return found

    def _needed(self, config: RunConfig) -> Planned:
        ends = self._ends(config)
        self.ask(ends)
        first, last = self._found[ends[0]], self._found[ends[-1]]
        if first is None or last is None or len(ends) == 1:
            return first
        if math.isinf(last):  # it lies on no line
            alone = _at_depth(config, None)
            self.ask([alone])
            return self._found[alone]
        low, high = _depth(ends[0]), _depth(ends[-1])
        return first + (last - first) * (_depth(config) - low) / (high - low)

    def _ends(self, config: RunConfig) -> list[RunConfig]:
        """Return those that the compiler has to be asked for: the config, or the least and the deepest like it."""
        if not _depth(config):
            return [_at_depth(config, None)]
        depths = self._depths[_at_depth(config, 1).masker]
        return [_at_depth(config, depth) for depth in sorted({min(depths), max(depths)})]


def _depth(config: RunConfig) -> int:
    """Return how many equal blocks run in a loop; 0 where none does."""
    depth, dilations = getattr(config.masker, "layers", 0), getattr(config.masker, "dilations", ())
    return depth if len(set(dilations)) == 1 and config.compute.blocks == "scanned" else 0


def _at_depth(config: RunConfig, depth: int | None) -> RunConfig:
    """Return a config of so many equal blocks, or as it is, with one seed for all."""
    return override(config, {"training.seed": 0, **({} if depth is None else {"masker.layers": depth})})


def remedies(config: RunConfig, devices: int, excess: float) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield options that take less memory, and what they change.

    So many devices share a batch; it needs more than there is by the factor `excess`, and so as many parts at least.
    """
    size, parts = config.training.batch_size, config.training.accumulation
    least = excess if math.isfinite(excess) else 1
    more = [count for count in range(2 * parts, size + 1) if size % (count * devices) == 0 and count % parts == 0]
    enough = [count for count in more if count >= least * parts]
    remat = {} if config.compute.remat else {"compute.remat": True}
    bfloat16 = {} if config.compute.precision == "bfloat16" else {"compute.precision": "bfloat16"}
    if remat:
        yield "--remat", remat
    for count in enough:
        yield f"--accumulate {count}", {"training.accumulation": count}
    if bfloat16:
        yield "--precision bfloat16", bfloat16
    if remat and more:
        yield f"--remat --accumulate {more[-1]}", {**remat, "training.accumulation": more[-1]}
    if bfloat16 and more:
        both = {**remat, **bfloat16, "training.accumulation": more[-1]}
        yield f"{'--remat ' if remat else ''}--accumulate {more[-1]} --precision bfloat16", both
    for less in range(size // 2, 0, -1):
        if size % less == 0 and less % (devices * parts) == 0 and size >= least * less:
            yield f"--batch {less}", {"training.batch_size": less}


def rows_memory(rows: Iterable[RunConfig], parallel: ParallelConfig, seeds: int) -> RowsMemory:
    """Return the memory of rows, none of which has been looked at, on this process's devices."""
    configs = list(rows)
    devices = len(sharing_devices(configs[0], parallel)) if configs else 1
    there = device_bytes(jax.local_devices()[0])
    return RowsMemory(configs, lambda config: plan_step(config, parallel, seeds), there, devices)
