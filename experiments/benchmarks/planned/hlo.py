"""The text of a compiled program (XLA's HLO) as computations, instructions and arrays."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

#: One array in a shape: its type, its sizes, and what stands in the braces after them: the order of its axes, how it is
#: tiled, and its memory space.
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,<=]*)\](?:\{([^{}]*)\})?")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{$")
_NAME = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r"\s*([a-z][\w\-]*)\(")
_BITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Array:
    """One array as it lies in memory."""

    dtype: str
    sizes: tuple[int, ...]
    bytes: int
    """With what its tiles are padded by: `f32[4,1]{1,0:T(8,128)}` takes 8 · 128 · 4."""
    space: int
    """Of memory: 0 is the device's own, others lie on the chip (a TPU's vector and scalar memory) or the host."""

    @property
    def elements(self) -> int:
        """Without padding."""
        return math.prod(self.sizes)

    @property
    def moved(self) -> int:
        """Bytes that a kernel which takes all of it moves to or from the device's memory."""
        return self.bytes if self.space == 0 else 0


@dataclass(frozen=True)
class Instruction:
    """One instruction."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    """Their names."""
    given: str
    """What stands between the brackets, such as a parameter's number or a constant's value."""
    attributes: str
    is_root: bool

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """Of its result; several where it is a tuple."""
        return arrays_in(self.shape)

    @property
    def source(self) -> str:
        """What it was traced from: modules and functions, as JAX names them; empty where nobody knows."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""

    def attribute(self, name: str) -> str | None:
        """Return what an attribute holds: a name without its `%`, or what stands in braces."""
        found = re.search(rf"\b{name}=(?:%?([\w.\-]+)|\{{([^{{}}]*)\}})", self.attributes)
        return (found[1] or found[2] or "") if found else None

    def numbers(self, name: str) -> list[int]:
        """Return the whole numbers of an attribute; none where it is not there."""
        return [int(number) for number in re.findall(r"\d+", self.attribute(name) or "")]

    def called(self, *names: str) -> list[str]:
        """Return the computations that these attributes name."""
        found = (self.attribute(name) for name in names)
        return [one.strip().removeprefix("%") for value in found if value for one in value.split(",")]


@dataclass(frozen=True)
class Computation:
    """Instructions that run one after the other."""

    name: str
    instructions: dict[str, Instruction]

    @property
    def root(self) -> Instruction:
        """The one whose result is the computation's."""
        return next(one for one in reversed(self.instructions.values()) if one.is_root)

    @cached_property
    def parameters(self) -> dict[int, Instruction]:
        """By their numbers."""
        return {int(one.given): one for one in self.instructions.values() if one.opcode == "parameter"}

    @cached_property
    def users(self) -> dict[str, list[tuple[Instruction, int]]]:
        """Which instructions take a result, and as which of their operands."""
        found: dict[str, list[tuple[Instruction, int]]] = {name: [] for name in self.instructions}
        for user in self.instructions.values():
            for number, name in enumerate(user.operands):
                found[name].append((user, number))
        return found


@dataclass(frozen=True)
class Module:
    """A whole program."""

    computations: dict[str, Computation]
    entry: Computation


def arrays_in(shape: str) -> tuple[Array, ...]:
    """Return the arrays of a shape as XLA writes it, those of a tuple one by one."""
    return tuple(_array(*found.groups()) for found in _ARRAY.finditer(shape))


def _array(dtype: str, sizes: str, layout: str | None) -> Array:
    """Return one array. Only its first tile pads it: those within a tile order what is in there."""
    of_each = tuple(int(size.removeprefix("<=")) for size in sizes.split(",") if size)
    order, _, more = (layout or "").partition(":")
    taken = list(of_each)
    if tile := re.search(r"T\(([\d,*]+)\)", more):
        axes = [int(axis) for axis in order.split(",") if axis]  # the fastest first
        ordered = [of_each[axis] for axis in reversed(axes)]
        tiles = [1 if size == "*" else int(size) for size in tile[1].split(",")]
        ordered = [1] * (len(tiles) - len(ordered)) + ordered
        taken = ordered[: len(ordered) - len(tiles)]
        taken += [math.ceil(size / of) * of for size, of in zip(ordered[-len(tiles) :], tiles, strict=True)]
    space = re.search(r"S\((\d+)\)", more)
    return Array(dtype, of_each, math.ceil(math.prod(taken) * _bits(dtype) / 8), int(space[1]) if space else 0)


def _bits(dtype: str) -> int:
    """Return the bits of an element; a truth value is a byte, a token nothing."""
    if dtype in ("token", "opaque"):
        return 0
    if dtype == "pred":
        return 8
    found = _BITS.search(dtype)  # f32, bf16, s4, f8e4m3fn, c64
    return int(found[0]) if found else 8


def parse(text: str) -> Module:
    """Read the text of a compiled program (`as_text()`), for whatever device it is.

    Raises:
        ValueError: where the text has no entry.
    """
    computations: dict[str, Computation] = {}
    entry = None
    for is_entry, name, lines in _blocks(text):
        computations[name] = Computation(name, {one.name: one for one in map(_instruction, lines) if one})
        entry = computations[name] if is_entry else entry
    if entry is None:
        raise ValueError("found no ENTRY, expected the text of a compiled program")
    return Module(computations, entry)


def _blocks(text: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Yield whether a computation is the entry, its name, and its lines."""
    head, lines = None, list[str]()
    for line in text.split("\n"):
        if head is None:
            head = _HEAD.match(line)
        elif line.startswith("}"):
            yield bool(head[1]), head[2], lines
            head, lines = None, []
        else:
            lines.append(line)


def _instruction(line: str) -> Instruction | None:
    """Read one line; None where it is no instruction."""
    name = _NAME.match(line)
    if name is None:
        return None
    shape_end = _closed(line, name.end()) if line[name.end()] == "(" else line.index(" ", name.end())
    opcode = _OPCODE.match(line, shape_end)
    if opcode is None:
        return None
    end = _closed(line, opcode.end() - 1)
    given = line[opcode.end() : end - 1]
    operands = tuple(re.findall(r"%([\w.\-]+)", given)) if opcode[1] not in ("constant", "parameter") else ()
    shape = line[name.end() : shape_end]
    return Instruction(name[2], shape, opcode[1], operands, given, line[end:], bool(name[1]))


def _closed(line: str, start: int) -> int:
    """Return where the bracket that opens at `start` has closed."""
    depth = 0
    for found in re.compile(r"[()]").finditer(line, start):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.end()
    raise ValueError(f"found a bracket that does not close: {line[start : start + 40]!r}")
