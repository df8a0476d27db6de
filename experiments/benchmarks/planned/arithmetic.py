"""The floating-point operations of one instruction of a compiled program."""

import functools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.benchmarks.planned.hlo import Array, Computation, Instruction, Module
from experiments.benchmarks.planned.traffic import ELEMENTWISE, stated_cost

_FLOATS = ("f", "bf", "c")


@dataclass(frozen=True)
class Arithmetic:
    """Floating-point operations of one run."""

    products: float = 0
    """Of matrix products and convolutions: two for each product that is added."""
    others: float = 0
    """Of all else: one for each element of a result, for each element that is summed up. A sine is one, too."""

    def __add__(self, other: "Arithmetic") -> "Arithmetic":
        return Arithmetic(self.products + other.products, self.others + other.others)


def arithmetic(instruction: Instruction, within: Computation, module: Module) -> Arithmetic:
    """Return the operations of an instruction; those of a fusion are those of what is in it."""
    if instruction.opcode == "fusion":
        (inner,) = (module.computations[name] for name in instruction.called("calls"))
        of_each = (arithmetic(one, inner, module) for one in inner.instructions.values())
        return sum(of_each, Arithmetic())
    count = _PRODUCTS.get(instruction.opcode)
    if count and instruction.operands:
        return Arithmetic(products=count(instruction, [_array_of(name, within) for name in instruction.operands]))
    result = instruction.arrays[0] if instruction.arrays else None
    if result is None or not result.dtype.startswith(_FLOATS):
        return Arithmetic()
    if instruction.opcode in ELEMENTWISE:
        return Arithmetic(others=result.elements)
    if instruction.opcode in ("reduce", "reduce-window"):
        return Arithmetic(others=_array_of(instruction.operands[0], within).elements)
    return Arithmetic()


def _array_of(name: str, within: Computation) -> Array:
    return (within.instructions[name].arrays or (Array("token", (), 0, 0),))[0]


def _dot(instruction: Instruction, operands: list[Array]) -> float:
    contracted = [operands[0].sizes[axis] for axis in instruction.numbers("lhs_contracting_dims")]
    return 2.0 * instruction.arrays[0].elements * math.prod(contracted)


def _convolution(instruction: Instruction, operands: list[Array]) -> float:
    """Products with what lies in the padding, or between the elements of a dilated operand, do not count."""
    left, kernel, result = _labels(instruction)
    x, taps, y = operands[0], operands[1], instruction.arrays[0]
    window = {
        name: value.split("x") for name, value in re.findall(r"(\w+)=(\S+)", instruction.attribute("window") or "")
    }
    runs = 1.0
    for number, axis in enumerate(sorted(set(left) - {"b", "f"})):
        given = {name: values[number] for name, values in window.items()}
        low, *_ = (int(pad) for pad in given.get("pad", "0_0").split("_"))
        stride, dilation, of_x = (int(given.get(name, "1")) for name in ("stride", "rhs_dilate", "lhs_dilate"))
        sizes = x.sizes[left.index(axis)], taps.sizes[kernel.index(axis)], y.sizes[result.index(axis)]
        runs *= _valid(*sizes, low, stride, dilation, of_x)
    groups = instruction.numbers("batch_group_count") or [1]
    batch = x.sizes[left.index("b")] / groups[0]
    return 2.0 * batch * y.sizes[result.index("f")] * taps.sizes[kernel.index("i")] * runs


@functools.lru_cache
def _valid(x: int, taps: int, y: int, low: int, stride: int, dilation: int, of_x: int) -> int:
    """Return how many pairs of a tap and a place of the result meet an element of x along one axis."""
    meets = np.arange(taps)[:, None] * dilation + np.arange(y) * stride - low
    return int(np.count_nonzero((meets >= 0) & (meets <= (x - 1) * of_x) & (meets % of_x == 0)))


def _labels(instruction: Instruction) -> tuple[str, str, str]:
    found = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    assert found, f"{instruction.name}: expected dim_labels of a convolution"
    return found[1], found[2], found[3]


def _call(instruction: Instruction, operands: list[Array]) -> float:
    """What a kernel says of itself; of NVIDIA's libraries each tap at each place, the padding included."""
    if stated := stated_cost(instruction, "flops"):
        return stated
    if "dim_labels" in instruction.attributes and len(operands) > 1:
        _, kernel, _ = _labels(instruction)
        y, taps = instruction.arrays[0], operands[1]
        if "convBackwardFilter" in instruction.attributes:
            y, taps = operands[1], instruction.arrays[0]
        elif "convBackwardInput" in instruction.attributes:
            y = operands[0]
        return 2.0 * y.elements * math.prod(taps.sizes) / taps.sizes[kernel.index("o")]
    if "__cublas" in instruction.attributes:
        found = re.search(r'"lhs_contracting_dimensions":(\[[^\]]*\])', instruction.attributes)
        axes = [int(axis) for axis in json.loads(found[1])] if found else []
        return 2.0 * instruction.arrays[0].elements * math.prod(operands[0].sizes[axis] for axis in axes)
    return 0.0


def tells(call: Instruction) -> bool:
    """Whether a call of a kernel tells how much it computes."""
    return stated_cost(call, "flops") is not None or "dim_labels" in call.attributes or "__cu" in call.attributes


_PRODUCTS: dict[str, Callable[[Instruction, list[Array]], float]] = {
    "dot": _dot,
    "convolution": _convolution,
    "custom-call": _call,
}
