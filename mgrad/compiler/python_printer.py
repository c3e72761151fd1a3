"""Functions of the loop language as plain Python over flat arrays.

The text is for people, for golden files, and to be run as it is (slowly) or under
Numba's `njit`: it needs only the names in `ENVIRONMENT`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mgrad.compiler.loops import (
    Accumulate,
    Constant,
    Function,
    Index,
    Let,
    Load,
    Loop,
    Operand,
    Parameter,
    Position,
    Read,
    Size,
    Statement,
    Store,
    Symbol,
    Variable,
)
from mgrad.primitive import REGISTRY

INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "bit_and": "&",
    "bit_or": "|",
    "bit_xor": "^",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}
FUNCTIONS = {
    "div": "divide",
    "max": "maximum",
    "min": "minimum",
    "abs": "absolute",
    "pow": "power",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "bit_not": "invert",
}


def _special(name: str) -> Any:
    return lambda x: REGISTRY[name].evaluate((), x)


def _convert(x: Any, dtype: str) -> Any:
    with np.errstate(all="ignore"):
        return np.dtype(dtype).type(x)


ENVIRONMENT: dict[str, Any] = {
    "np": np,
    "sigmoid": _special("sigmoid"),
    "erf": _special("erf"),
    "erfc": _special("erfc"),
    "convert": _convert,
    "min": min,
    "range": range,
}


class Printer:
    """One function on its way to text."""

    def __init__(self, function: Function, name: str) -> None:
        self.function = function
        self.name = name
        self.lines: list[str] = []
        self.indent = 1

    def text(self) -> str:
        """The whole definition."""
        buffers = [f"b{k}" for k in range(len(self.function.buffers))]
        extents = [f"n{k}" for k in range(self.function.extents)]
        kinds = ", ".join(
            f"b{k}: {b.dtype}{' (written)' if b.written else ''}"
            for k, b in enumerate(self.function.buffers)
        )
        head = f"def {self.name}({', '.join([*buffers, *extents, 'lo', 'hi'])}):"
        for statement in self.function.body:
            self.statement(statement)
        return "\n".join([head, f"    # {kinds}", *self.lines, ""])

    def emit(self, text: str) -> None:
        """One line."""
        self.lines.append("    " * self.indent + text)

    def statement(self, s: Statement) -> None:
        """Print one statement."""
        if isinstance(s, Let):
            self.emit(f"{s.result.name} = {self.operation(s)}")
        elif isinstance(s, Load):
            self.emit(f"{s.result.name} = b{s.buffer}[{self.index(s.index)}]")
        elif isinstance(s, Store):
            self.emit(f"b{s.buffer}[{self.index(s.index)}] = {self.operand(s.value)}")
        elif isinstance(s, Position):
            self.emit(f"{s.result.name} = {self.index(s.index)}")
        elif isinstance(s, Variable):
            self.emit(f"{s.name} = {self.operand(s.start)}")
        elif isinstance(s, Read):
            self.emit(f"{s.result.name} = {s.name}")
        elif isinstance(s, Accumulate):
            self.emit(
                f"{s.name} = {self.apply(s.operation, [s.name, self.operand(s.value)])}"
            )
        else:
            self.loop(s)

    def loop(self, s: Loop) -> None:
        """A counted loop."""
        bounds = self.size(s.extent)
        if s.ranged:
            bounds = "lo, hi"
        elif s.block is not None:
            variable, rows = s.block
            size = self.size(rows)
            bounds = f"i{variable} * {size}, min((i{variable} + 1) * {size}, {bounds})"
        self.emit(f"for i{s.variable} in range({bounds}):")
        self.indent += 1
        for inner in s.body:
            self.statement(inner)
        self.indent -= 1

    def operation(self, s: Let) -> str:
        """The expression of a scalar operation."""
        operands = [self.operand(x) for x in s.operands]
        if s.operation == "convert":
            return f"convert({operands[0]}, {s.result.dtype!r})"
        if s.operation == "select":
            condition, x, y = operands
            return f"{x} if {condition} else {y}"
        return self.apply(s.operation, operands)

    def apply(self, name: str, operands: list[str]) -> str:
        """An operation on operands that are text already."""
        if name in INFIX:
            return f" {INFIX[name]} ".join(operands)
        if name == "neg":
            return f"-{operands[0]}"
        function = name if name in ENVIRONMENT else f"np.{FUNCTIONS.get(name, name)}"
        return f"{function}({', '.join(operands)})"

    def operand(self, operand: Operand) -> str:
        """A name or a literal."""
        if isinstance(operand, Parameter):
            return f"n{operand.position}"
        if not isinstance(operand, Constant):
            return operand.name
        value = operand.number
        if operand.dtype == "bool":
            return str(value)
        if isinstance(value, float) and not math.isfinite(value):
            text = {math.inf: "np.inf", -math.inf: "-np.inf"}.get(value, "np.nan")
        else:
            text = repr(value)
        if operand.dtype == "float64" and text[0] != "-":
            return text
        return f"np.{operand.dtype}({text})"

    def size(self, size: Size) -> str:
        """A literal or the name of a symbol."""
        return f"n{size.position}" if isinstance(size, Symbol) else str(size)

    def index(self, index: Index) -> str:
        """A flat position."""
        terms = [self.term(f"i{v}", stride) for v, stride in index.terms]
        terms += [self.term(self.operand(v), stride) for v, stride in index.dynamic]
        offset = self.size(index.offset)
        if offset != "0" or not terms:
            terms.append(offset)
        return " + ".join(terms)

    def term(self, name: str, stride: Size) -> str:
        """stride * name."""
        return name if stride == 1 else f"{self.size(stride)} * {name}"


def python_source(function: Function, name: str = "kernel") -> str:
    """The readable form of a function."""
    return Printer(function, name).text()


def python_function(function: Function) -> Any:
    """The readable form, ready to be called with flat arrays, extents and a range."""
    scope = dict(ENVIRONMENT)
    exec(python_source(function), scope)
    return scope["kernel"]
