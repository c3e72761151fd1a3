"""The loop language: what a kernel does, before it is printed as LLVM IR or Python.

A `Function` is a list of statements over flat buffers. Positions are affine in
loop variables; extents, strides and offsets above `BAKED` are `Symbol`s, read from
the kernel's extents at run time, so that one kernel serves every batch size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

BAKED = 16
"""Extents, strides and constants up to this are literals, so that loops unroll."""


class Symbol(NamedTuple):
    """The number `extents[position]`, known when the kernel is called."""

    position: int


Size = int | Symbol


class Value(NamedTuple):
    """A named scalar of a dtype, defined by an earlier statement."""

    name: str
    dtype: str
    depth: int


class Constant(NamedTuple):
    """A literal scalar; floats are kept as their exact hexadecimal text."""

    text: str
    dtype: str

    @property
    def number(self) -> Any:
        """The Python number."""
        if self.dtype.startswith("float"):
            return float.fromhex(self.text)
        return self.text == "True" if self.dtype == "bool" else int(self.text)


class Parameter(NamedTuple):
    """A scalar passed with the extents: a constant that the code does not depend on."""

    position: int
    dtype: str


Operand = Value | Constant | Parameter


class Index(NamedTuple):
    """offset + the sum of stride * variable, + the sum of stride * value."""

    offset: Size
    terms: tuple[tuple[int, Size], ...]
    dynamic: tuple[tuple[Operand, Size], ...] = ()


@dataclass(frozen=True, slots=True)
class Let:
    """result = operation(operands)."""

    result: Value
    operation: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """result = the index as an integer."""

    result: Value
    index: Index


@dataclass(frozen=True, slots=True)
class Load:
    """result = buffer[index]."""

    result: Value
    buffer: int
    index: Index


@dataclass(frozen=True, slots=True)
class Store:
    """buffer[index] = value."""

    buffer: int
    index: Index
    value: Operand


@dataclass(frozen=True, slots=True)
class Variable:
    """A mutable scalar with a start value: an accumulator."""

    name: str
    dtype: str
    start: Constant


@dataclass(frozen=True, slots=True)
class Accumulate:
    """variable = operation(variable, value); sums and products may be reordered."""

    name: str
    dtype: str
    operation: str
    value: Operand


@dataclass(frozen=True, slots=True)
class Read:
    """result = the accumulator's value now."""

    result: Value
    name: str


@dataclass(frozen=True, slots=True)
class Loop:
    """for variable in range(extent), or in the kernel's range [lo, hi) if `ranged`.

    `block` makes it range(block * outer, min(extent, block * (outer + 1))), for
    reductions that are split into blocks of a fixed size.
    """

    variable: int
    extent: Size
    body: tuple[Statement, ...]
    ranged: bool = False
    block: tuple[int, int] | None = None


Statement = Let | Position | Load | Store | Variable | Accumulate | Read | Loop


class Buffer(NamedTuple):
    """An argument of a kernel: a flat array."""

    dtype: str
    written: bool


@dataclass(frozen=True)
class Function:
    """A kernel: buffers, how many extents it reads, and its statements."""

    buffers: tuple[Buffer, ...]
    extents: int
    body: tuple[Statement, ...]


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, outer before inner."""
    for statement in body:
        yield statement
        if isinstance(statement, Loop):
            yield from statements(statement.body)


REORDERED = frozenset({"add", "mul"})
"""Accumulations that may be reordered (`reassoc`) so that they vectorise."""

COSTS = {
    "div": 4,
    "sqrt": 6,
    "exp": 14,
    "exp2": 14,
    "expm1": 18,
    "log": 16,
    "log2": 18,
    "log10": 18,
    "log1p": 20,
    "sin": 20,
    "cos": 20,
    "tan": 30,
    "tanh": 20,
    "sigmoid": 18,
    "erf": 30,
    "erfc": 40,
    "pow": 60,
    "sinh": 30,
    "cosh": 30,
    "asin": 40,
    "acos": 40,
    "atan": 40,
    "atan2": 60,
    "asinh": 50,
    "acosh": 50,
    "atanh": 50,
    "cbrt": 40,
    "hypot": 20,
    "fmod": 30,
    "remainder": 30,
    "floor_divide": 30,
}
"""Scalar operations that take more than a unit of time (an addition)."""

COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
