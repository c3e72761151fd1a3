"""Building loop bodies: scopes, common subexpressions, scalar operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from mgrad.compiler.affine import Affine
from mgrad.compiler.loops import (
    COMPARISONS,
    Accumulate,
    Constant,
    Let,
    Load,
    Loop,
    Operand,
    Position,
    Read,
    Statement,
    Store,
    Value,
    Variable,
)

UNARY = frozenset(
    "neg abs sqrt cbrt floor ceil trunc rint exp exp2 expm1 log log2 log10 log1p "
    "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid erf erfc "
    "bit_not".split()
)
BINARY = frozenset(
    "add sub mul div min max pow atan2 copysign hypot fmod remainder floor_divide "
    "bit_and bit_or bit_xor".split()
)
OPERATIONS = UNARY | BINARY | COMPARISONS | {"select", "convert"}


class Place(NamedTuple):
    """A position with concrete coefficients: affine, plus stride * value terms."""

    affine: Affine
    dynamic: tuple[tuple[Operand, int], ...] = ()


class Scope:
    """The body of one open loop (or the function's), and what is known in it."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.memo: dict[Any, Operand] = {}


def number(value: Any, dtype: str) -> Constant:
    """A literal; floats by their exact bits, also infinities and NaN."""
    if dtype.startswith("float"):
        return Constant(float(np.dtype(dtype).type(value)).hex(), dtype)
    return Constant(str(bool(value) if dtype == "bool" else int(value)), dtype)


class Builder:
    """Emits statements, each into the outermost loop in which its operands exist.

    It is also the `s` of the primitives' scalar forms: `s.add(x, y)`, `s.exp(x)`.
    """

    def __init__(self) -> None:
        self.scopes = [Scope()]
        self.depth_of: dict[int, int] = {}
        self.count = 0
        self.loops: list[tuple[int, int, bool]] = []

    # loops

    def open(self, variable: int, extent: int, ranged: bool = False) -> None:
        """Begin a loop."""
        self.depth_of[variable] = len(self.scopes)
        self.scopes.append(Scope())
        self.loops.append((variable, extent, ranged))

    def close(self) -> None:
        """End the innermost loop."""
        scope = self.scopes.pop()
        variable, extent, ranged = self.loops.pop()
        loop = Loop(variable, extent, tuple(scope.statements), ranged)
        self.scopes[-1].statements.append(loop)

    @contextmanager
    def nest(
        self, loops: Iterable[tuple[int, int]], ranged: bool = False
    ) -> Iterator[None]:
        """Loops over (variable, extent), the first outermost and, if asked, ranged."""
        nested = tuple(loops)
        for i, (variable, extent) in enumerate(nested):
            self.open(variable, extent, ranged and i == 0)
        yield
        for _ in nested:
            self.close()

    @property
    def depth(self) -> int:
        """How many loops are open."""
        return len(self.scopes) - 1

    def append(self, statement: Statement) -> None:
        """Emit into the innermost open loop."""
        self.scopes[-1].statements.append(statement)

    # memory of values

    def known(self, key: Any) -> Operand | None:
        """The value remembered under a key in any open scope."""
        for scope in reversed(self.scopes):
            found = scope.memo.get(key)
            if found is not None:
                return found
        return None

    def remember(self, key: Any, value: Operand) -> None:
        """Remember a value as long as it exists."""
        self.scopes[depth_of(value)].memo[key] = value

    def new(self, dtype: str, depth: int) -> Value:
        """A fresh name."""
        self.count += 1
        return Value(f"x{self.count}", dtype, depth)

    # statements

    def let(self, operation: str, operands: tuple[Operand, ...], dtype: str) -> Operand:
        """The result of a scalar operation, shared if computed already."""
        key = (operation, operands, dtype)
        found = self.known(key)
        if found is not None:
            return found
        depth = max(map(depth_of, operands))
        result = self.new(dtype, depth)
        self.scopes[depth].statements.append(Let(result, operation, operands))
        self.remember(key, result)
        return result

    def load(
        self, buffer: int, dtype: str, place: Place, changing: bool = False
    ) -> Value:
        """An element of a buffer; in the innermost loop if the loops write it."""
        depth = self.depth if changing else self._depth(place)
        result = self.new(dtype, depth)
        self.scopes[depth].statements.append(Load(result, buffer, place))  # type: ignore[arg-type]
        return result

    def position(self, place: Affine) -> Value:
        """An index as a number."""
        result = self.new("int64", self._depth(Place(place)))
        self.scopes[result.depth].statements.append(Position(result, Place(place)))  # type: ignore[arg-type]
        return result

    def store(self, buffer: int, place: Place, value: Operand) -> None:
        """Write an element in the innermost loop."""
        self.append(Store(buffer, place, value))  # type: ignore[arg-type]

    def variable(self, dtype: str, start: Constant) -> str:
        """An accumulator in the current scope."""
        self.count += 1
        name = f"a{self.count}"
        self.append(Variable(name, dtype, start))
        return name

    def read(self, name: str, dtype: str) -> Value:
        """An accumulator's value, in the current scope."""
        result = self.new(dtype, self.depth)
        self.append(Read(result, name))
        return result

    def accumulate(self, name: str, dtype: str, operation: str, value: Operand) -> None:
        """Combine a value into an accumulator in the innermost loop."""
        self.append(Accumulate(name, dtype, operation, value))

    def _depth(self, place: Place) -> int:
        loops = (self.depth_of[v] for v, _ in place.affine.terms)
        values = (depth_of(value) for value, _ in place.dynamic)
        return max((*loops, *values), default=0)

    # the scalar language of the primitives

    def __getattr__(self, operation: str) -> Any:
        if operation not in OPERATIONS:
            raise AttributeError(operation)

        def apply(*operands: Operand) -> Operand:
            dtype = "bool" if operation in COMPARISONS else operands[-1].dtype
            return self.let(operation, operands, dtype)

        return apply

    def convert(self, x: Operand, dtype: str) -> Operand:
        """`x` as another dtype."""
        if x.dtype == dtype:
            return x
        if isinstance(x, Constant):
            return number(x.number, dtype)
        return self.let("convert", (x,), dtype)

    def constant(self, value: Any, like: Operand) -> Constant:
        """A literal of the dtype of `like`."""
        return number(value, like.dtype)

    def zero(self, like: Operand) -> Constant:
        """0 of the dtype of `like`."""
        return number(0, like.dtype)

    def one(self, like: Operand) -> Constant:
        """1 of the dtype of `like`."""
        return number(1, like.dtype)


class _Recorder:
    """Stands for the builder: names the operation of a scalar form."""

    def __getattr__(self, operation: str) -> Any:
        return lambda *operands: operation


def operation_of(form: Any, *operands: Any) -> str | None:
    """The operation that a scalar form ends in; None if it computes with operands."""
    try:
        found: str = form(_Recorder(), *operands)
    except TypeError:
        return None
    return found


def depth_of(operand: Operand) -> int:
    """How deep a value is defined; literals exist everywhere."""
    return operand.depth if isinstance(operand, Value) else 0
