"""What a compiled program does in one run: its kernels, the bytes they move, their arithmetic, and its collectives."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from experiments.benchmarks.planned.arithmetic import Arithmetic, arithmetic, tells
from experiments.benchmarks.planned.hlo import Computation, Instruction, Module, parse
from experiments.benchmarks.planned.traffic import TRANSFERS, is_free, traffic

_COLLECTIVES = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast",
    "ragged-all-to-all",
)  # fmt: skip
_MOST = 5


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One kernel of a program, all its runs together."""

    name: str
    """XLA's."""
    kind: str
    """XLA's operation, and the shape of its result."""
    source: str
    """What it was traced from: modules and functions, as JAX names them."""
    runs: int
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Collective:
    """One exchange between devices."""

    kind: str
    bytes: int
    """That each device gives, in one run."""
    runs: int
    in_loop: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class ProgramCount:
    """One run of a program. Of a loop each turn counts, of a condition the branch that moves more."""

    launches: int
    """Kernels: fusions, single operations, calls of libraries; copies, too."""
    chain: int
    """The most of these kernels that must run one after the other, each on what the one before has computed."""
    bytes: float
    """Read from the device's memory and written to it."""
    product_flops: float
    other_flops: float
    largest: Sequence[Operation]
    """Those that move most, the largest first."""
    collectives: Sequence[Collective]
    at_most: Sequence[str]
    """Loops that may end sooner than they are counted."""
    counted_once: Sequence[str]
    """Loops of which nothing tells how often they run."""
    uncounted: Sequence[str]
    """Kernels that say nothing of their arithmetic: of it they count as none."""

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.product_flops + self.other_flops


@dataclass
class _Totals:
    """Sums while a program is gone through."""

    launches: int = 0
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    bytes_of: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    runs_of: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    collectives: list[Collective] = field(default_factory=list)
    at_most: list[str] = field(default_factory=list)
    counted_once: list[str] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> float:
        return sum(self.bytes_of.values())


def count_program(text: str) -> ProgramCount:
    """Count a compiled program by its text (`as_text()`), for a CPU, a GPU or a TPU.

    Raises:
        ValueError: where that is no such text.
    """
    module = parse(text)
    totals = _Totals()
    _add(module.entry, module, totals, 1, False)
    largest = sorted(totals.bytes_of, key=lambda key: -totals.bytes_of[key])[:_MOST]
    return ProgramCount(
        launches=totals.launches,
        chain=_chain(module.entry, module),
        bytes=totals.bytes,
        product_flops=totals.arithmetic.products,
        other_flops=totals.arithmetic.others,
        largest=[_operation(module, key, totals) for key in largest],
        collectives=totals.collectives,
        at_most=totals.at_most,
        counted_once=totals.counted_once,
        uncounted=totals.uncounted,
    )


def _chain(computation: Computation, module: Module) -> int:
    """Return the kernels of the longest way from an argument to a result; turns of a loop wait for one another."""
    ends: dict[str, int] = {}
    for one in computation.instructions.values():
        before = max((ends.get(name, 0) for name in one.operands), default=0)
        ends[one.name] = before + _links(one, computation, module)
    return max(ends.values(), default=0)


def _links(one: Instruction, computation: Computation, module: Module) -> int:
    """Return how many kernels of a chain an instruction is."""

    def longest(*attributes: str) -> int:
        return max((_chain(module.computations[name], module) for name in one.called(*attributes)), default=0)

    if one.opcode == "while":
        condition = 0 if "known_trip_count" in one.attributes else longest("condition")
        return (longest("body") + condition) * _turns(one, computation, module, _Totals())
    if one.opcode == "conditional":
        return longest("branch_computations", "true_computation", "false_computation")
    if one.opcode == "call" or (one.opcode == "async-start" and one.called("calls")):
        return longest("to_apply", "calls")
    return 0 if is_free(one) or one.opcode in TRANSFERS else 1


def _operation(module: Module, key: tuple[str, str], totals: _Totals) -> Operation:
    one = module.computations[key[0]].instructions[key[1]]
    kind = f"{one.opcode} {re.sub(r'/[*].*?[*]/', '', one.shape)}"
    return Operation(name=one.name, kind=kind, source=one.source, runs=totals.runs_of[key], bytes=totals.bytes_of[key])


def _add(computation: Computation, module: Module, totals: _Totals, runs: int, in_loop: bool) -> None:
    """Add so many runs of a computation."""
    for one in computation.instructions.values():
        if one.opcode == "while":
            turns = _turns(one, computation, module, totals)
            (body,), (condition,) = one.called("body"), one.called("condition")
            _add(module.computations[body], module, totals, runs * turns, True)
            if "known_trip_count" not in one.attributes:  # otherwise nobody asks
                _add(module.computations[condition], module, totals, runs * turns, True)
        elif one.opcode == "conditional":
            names = one.called("branch_computations", "true_computation", "false_computation")
            _add(_largest(names, module), module, totals, runs, in_loop)
        elif one.opcode == "call" or (one.opcode == "async-start" and one.called("calls")):
            for name in one.called("to_apply", "calls"):
                _add(module.computations[name], module, totals, runs, in_loop)
        elif not is_free(one):
            _add_kernel(one, computation, module, totals, runs, in_loop)


def _add_kernel(
    one: Instruction, computation: Computation, module: Module, totals: _Totals, runs: int, in_loop: bool
) -> None:
    moved, done = traffic(one, computation, module), arithmetic(one, computation, module)
    key = (computation.name, one.name)
    totals.launches += 0 if one.opcode in TRANSFERS else runs
    totals.arithmetic += Arithmetic(done.products * runs, done.others * runs)
    totals.bytes_of[key] += (moved.read + moved.written) * runs
    totals.runs_of[key] += runs
    for each, within in _with_those_in_it(one, computation, module):
        kind = each.opcode.removesuffix("-start")
        if kind in _COLLECTIVES:
            given = sum(array.bytes for name in each.operands for array in within.instructions[name].arrays)
            found = Collective(kind=kind, bytes=given, runs=runs, in_loop=in_loop, source=each.source)
            totals.collectives.append(found)
        elif kind == "custom-call" and not tells(each):
            totals.uncounted.append(each.source or each.name)


def _with_those_in_it(
    one: Instruction, computation: Computation, module: Module
) -> Iterator[tuple[Instruction, Computation]]:
    """Yield an instruction, and those of a fusion, with the computation that each is in."""
    yield one, computation
    if one.opcode == "fusion":
        for inner in (module.computations[name] for name in one.called("calls")):
            for each in inner.instructions.values():
                yield from _with_those_in_it(each, inner, module)


def _largest(names: Sequence[str], module: Module) -> Computation:
    """Return the branch that moves most."""

    def moved(computation: Computation) -> tuple[float, int]:
        totals = _Totals()
        _add(computation, module, totals, 1, False)
        return totals.bytes, totals.launches

    return max((module.computations[name] for name in names), key=moved)


def _turns(loop: Instruction, within: Computation, module: Module, totals: _Totals) -> int:
    """Return how often a loop runs, by the compiler's word or by its condition; notes where that is not sure."""
    if known := re.search(r'known_trip_count"?:\{"n":"(\d+)"', loop.attributes):
        return int(known[1])
    (name,) = loop.called("condition")
    condition = module.computations[name]
    limits, is_whole = _limits(condition, module)
    if not limits:
        totals.counted_once.append(loop.source or loop.name)
        return 1
    if not is_whole:
        totals.at_most.append(loop.source or loop.name)
    return max(min(limits), 0)


def _limits(condition: Computation, module: Module) -> tuple[list[int], bool]:
    """Return the numbers below which a loop's counter, which starts at 0, must be, and whether nothing else ends it."""
    tops = condition.instructions.values()
    instructions = [one for top in tops for one, _ in _with_those_in_it(top, condition, module)]
    constants = {one.name: one.given for one in instructions if one.opcode == "constant"}
    compared = [one for one in instructions if one.opcode == "compare"]
    limits = [
        int(constants[one.operands[1]])
        for one in compared
        if one.attribute("direction") == "LT" and constants.get(one.operands[1], "").isdigit()
    ]
    return limits, len(compared) == len(limits)
