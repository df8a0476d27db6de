"""The bytes that one instruction of a compiled program moves to and from the device's memory.

An instruction, or a fusion of many, is one kernel: it reads each operand once and writes its result, as if nothing were
kept in a cache from the kernel before and each element were fetched once within the kernel. What it takes of an operand
by slices alone counts as those slices, and a slice that it writes into an array in place as that slice. What lies in
memory on the chip (`Array.space`) moves nothing.
"""

import re
from dataclasses import dataclass

from experiments.benchmarks.planned.hlo import Array, Computation, Instruction, Module

#: They make no kernel: they name what is there already, or wait for it.
FREE = frozenset({
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "add-dependency",
    "partition-id", "replica-id", "domain", "async-update",
})  # fmt: skip
#: Calls of what is no kernel of a device.
_FREE_CALLS = (
    "AllocateBuffer",
    "Sharding",
    "GatherScatterIndicesBitpacked",
    "xla.sdy",
    "ConcatBitcast",
    "Pin",
    "Unpin",
)
_SLICES = ("dynamic-slice", "slice", "gather")
_UPDATES = {"dynamic-update-slice": 1, "scatter": 2}  # where their update is among the operands
#: Copies that go on beside the kernels.
TRANSFERS = frozenset({"copy-start", *(f"{one}-start" for one in (*_SLICES, *_UPDATES))})
_RENAMES = ("bitcast", "reshape")
_PASSES = (*_RENAMES, "copy", "convert", "transpose")


@dataclass(frozen=True)
class Traffic:
    """Bytes of one run."""

    read: float = 0
    written: float = 0


def is_free(instruction: Instruction) -> bool:
    """Whether an instruction makes no kernel; nor does arithmetic with single numbers that no kernel has taken in."""
    if instruction.opcode == "custom-call":
        target = re.search(r'custom_call_target="([^"]*)"', instruction.attributes)
        return bool(target) and target[1].startswith(_FREE_CALLS)
    if instruction.opcode in FREE or instruction.opcode.endswith("-done"):
        return True
    of_numbers = all(array.elements == 1 for array in instruction.arrays)
    return of_numbers and instruction.opcode in ELEMENTWISE | {"broadcast", "reshape"}


ELEMENTWISE = frozenset({
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "negate", "abs", "sign", "remainder",
    "exponential", "exponential-minus-one", "log", "log-plus-one", "logistic", "tanh", "tan", "sine", "cosine", "atan2",
    "sqrt", "rsqrt", "cbrt", "erf", "floor", "ceil", "round-nearest-afz", "round-nearest-even", "clamp", "select",
    "compare", "and", "or", "xor", "not", "shift-left", "shift-right-logical", "shift-right-arithmetic", "convert",
    "is-finite", "popcnt",
})  # fmt: skip


def traffic(instruction: Instruction, within: Computation, module: Module) -> Traffic:
    """Return what one run of an instruction that is not free moves."""
    operands = [_arrays_of(name, within) for name in instruction.operands]
    opcode, results = instruction.opcode.removesuffix("-start"), instruction.arrays
    if opcode != instruction.opcode:
        results = _results_of_start(opcode, results, len(sum(operands, ())))
    if opcode == "fusion":
        (inner,) = (module.computations[name] for name in instruction.called("calls"))
        return Traffic(_read(inner, operands, module), _written(inner, results, module))
    if opcode == "custom-call":
        return _of_a_call(instruction, operands, results)
    if opcode in _SLICES:
        taken = sum(array.bytes for array in results) if _moved(operands[0]) else 0
        return Traffic(taken + sum(map(_moved, operands[1:])), _moved(results))
    if opcode in _UPDATES:
        update = operands[_UPDATES[opcode]]
        adds = opcode == "scatter"  # reads what it adds to, and where
        written = sum(array.bytes for array in update) if _moved(results) else 0
        return Traffic(_moved(update) + (written + _moved(operands[1]) if adds else 0), written)
    return Traffic(_moved(sum(operands, ())), _moved(results))


def _results_of_start(opcode: str, named: tuple[Array, ...], operands: int) -> tuple[Array, ...]:
    """Return what comes out in the end of work that goes on beside other work.

    What starts it may name its operands and its state, one number, as well.
    """
    arrays = tuple(array for array in named if array.sizes or array.dtype not in ("s32", "u32"))
    if opcode == "copy":  # names what it makes first
        return arrays[:1]
    return arrays[operands:] or arrays


def _arrays_of(name: str, within: Computation) -> tuple[Array, ...]:
    return within.instructions[name].arrays


def _moved(arrays: tuple[Array, ...]) -> int:
    return sum(array.moved for array in arrays)


def _of_a_call(instruction: Instruction, operands: list[tuple[Array, ...]], results: tuple[Array, ...]) -> Traffic:
    """What a kernel says of itself, else each operand and result once; a library's working memory is none."""
    if stated := stated_cost(instruction, "bytes_accessed"):
        return Traffic(stated)
    if '"__cu' in instruction.attributes:
        results = results[:1]
    return Traffic(_moved(sum(operands, ())), _moved(results))


def stated_cost(instruction: Instruction, name: str) -> float | None:
    """Return what the writer of a kernel has stated of its cost: `flops` or `bytes_accessed`; None where nothing."""
    found = re.search(rf'"cost_estimate":\{{[^}}]*"{name}":"?(\d+)', instruction.attributes)
    return float(found[1]) if found else None


def _read(inner: Computation, operands: list[tuple[Array, ...]], module: Module) -> float:
    """Bytes that a fusion takes of its operands."""
    return sum(_moved(arrays) * _share_read(inner, number, module) for number, arrays in enumerate(operands))


def _share_read(inner: Computation, number: int, module: Module) -> float:
    if number not in inner.parameters:
        return 0.0
    return _share_used(inner.parameters[number], inner, module, frees_root=False)


def _share_used(value: Instruction, inner: Computation, module: Module, frees_root: bool) -> float:
    """Return the share of a value that is read within a fusion; what is updated in place is not read (`frees_root`)."""
    share = 0.0 if frees_root or not value.is_root else 1.0
    for user, number in inner.users[value.name]:
        if user.opcode in _SLICES and number == 0:
            share += _bytes(user) / max(_bytes(value), 1)
        elif user.opcode in _UPDATES and number == 0:
            share += _share_used(user, inner, module, frees_root=True)
        elif user.opcode in _RENAMES:
            share += _share_used(user, inner, module, frees_root)
        elif user.opcode in _PASSES:
            share += _share_used(user, inner, module, frees_root=False)
        elif user.opcode == "fusion":
            (deeper,) = user.called("calls")
            share += _share_read(module.computations[deeper], number, module)
        elif not (user.opcode == "tuple" and frees_root):
            return 1.0
        if share >= 1:
            return 1.0
    return share


def _written(inner: Computation, results: tuple[Array, ...], module: Module) -> float:
    """Bytes that a fusion writes of its results."""
    root = inner.root
    made = [inner.instructions[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(made) != len(results):
        return _moved(results)
    return sum(array.moved * _share_written(one, inner, module) for array, one in zip(results, made, strict=True))


def _share_written(made: Instruction, inner: Computation, module: Module) -> float:
    """Return the share of a result that is written: all of it, but for updates in place."""
    while made.opcode in _RENAMES:
        made = inner.instructions[made.operands[0]]
    if made.opcode == "fusion":
        (deeper,) = made.called("calls")
        root = module.computations[deeper].root
        return 1.0 if root.opcode == "tuple" else _share_written(root, module.computations[deeper], module)
    share, whole = 0.0, max(_bytes(made), 1)
    while made.opcode in _UPDATES:
        share += _bytes(inner.instructions[made.operands[_UPDATES[made.opcode]]]) / whole
        made = inner.instructions[made.operands[0]]
        while made.opcode in _RENAMES:
            made = inner.instructions[made.operands[0]]
    return min(share, 1.0) if made.opcode == "parameter" and share else 1.0


def _bytes(instruction: Instruction) -> int:
    return sum(array.bytes for array in instruction.arrays)
