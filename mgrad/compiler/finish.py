"""From concrete loops to a function that is shared by all sizes.

Perfect nests whose positions are contiguous become one loop; then extents, strides
and offsets above `BAKED` turn into symbols read at run time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from mgrad.compiler import threads
from mgrad.compiler.affine import Affine
from mgrad.compiler.builder import Place
from mgrad.compiler.loops import (
    BAKED,
    COSTS,
    Accumulate,
    Buffer,
    Constant,
    Function,
    Index,
    Let,
    Load,
    Loop,
    Operand,
    Parameter,
    Position,
    Size,
    Statement,
    Store,
    Symbol,
    statements,
)

UNIT_NANOSECONDS = 0.5
"""A unit of work, at most: many take less."""


@dataclass(frozen=True)
class Lowered:
    """A function and what one call of it needs."""

    function: Function
    buffers: tuple[Any, ...]
    extents: tuple[int | float, ...]
    size: int
    grain: int
    operations: int


def finish(
    builder: Any, block: tuple[int, int, int] | None = None, serial: bool = False
) -> Lowered:
    """Close a lowering: collapse loops, split into blocks, make sizes symbols."""
    body = collapse_all(builder.scopes[0].statements)
    size, whole = _range(body, block)
    if block is not None:
        variable, rows, _ = block
        body = [_blocked(s, variable, rows) for s in body]
        body = [Loop(variable, size, tuple(body), ranged=True)]
    work = sum(map(_work, body))
    nanoseconds = UNIT_NANOSECONDS * work / max(size, 1)
    grain = 0 if serial or whole else threads.grain(nanoseconds)
    symbols = Symbols()
    function_body = tuple(map(symbols.statement, body))
    buffers = tuple(
        Buffer(_dtype(key), key in builder.written) for key in builder.buffers
    )
    function = Function(buffers, len(symbols.values), function_body)
    return Lowered(
        function, tuple(builder.buffers), tuple(symbols.values), size, grain, work
    )


def _dtype(key: Any) -> str:
    return str(getattr(key, "root", key).dtype.name)


def _range(
    body: list[Statement], block: tuple[int, int, int] | None
) -> tuple[int, bool]:
    """The extent of the parallel loop; 1 and serial where there is none."""
    if block is not None:
        return block[2], False
    extents = _ranged_extents(body)
    assert len(extents) <= 1, extents
    return (extents.pop(), False) if extents else (1, True)


def _ranged_extents(body: Iterable[Statement]) -> set[int]:
    """The extents of the parallel loops: one, as they all run over [lo, hi)."""
    return {
        s.extent  # type: ignore[misc]
        for s in statements(tuple(body))
        if isinstance(s, Loop) and s.ranged
    }


def _blocked(statement: Statement, variable: int, rows: int) -> Statement:
    if isinstance(statement, Loop):
        return replace(statement, block=(variable, rows))
    return statement


def _work(statement: Statement) -> int:
    if isinstance(statement, Loop):
        assert isinstance(statement.extent, int)
        turns = statement.extent
        if statement.block is not None:
            turns = min(turns, statement.block[1])
        return turns * sum(map(_work, statement.body))
    if isinstance(statement, Let):
        return COSTS.get(statement.operation, 1)
    return 1


# --- collapsing -------------------------------------------------------------------


def collapse_all(body: Iterable[Statement]) -> list[Statement]:
    """Collapse every nest, the parallel loops of all of them alike or not at all."""
    nests = tuple(body)
    for whole in (True, False):
        result = [collapse(s, whole) if isinstance(s, Loop) else s for s in nests]
        if len(_ranged_extents(result)) <= 1:
            break
    return result


def collapse(loop: Loop, whole: bool = True) -> Loop:
    """Merge perfectly nested loops wherever all positions stay contiguous.

    Unless `whole`, a parallel loop stays as it is.
    """
    body = tuple(collapse(s, whole) if isinstance(s, Loop) else s for s in loop.body)
    loop = replace(loop, body=body)
    if len(body) != 1 or not isinstance(body[0], Loop):
        return loop
    inner = body[0]
    kept = inner.ranged or (loop.ranged and not whole)
    if kept or not _contiguous(loop, inner):
        return loop
    assert isinstance(loop.extent, int) and isinstance(inner.extent, int)
    merged = replace(
        inner,
        extent=loop.extent * inner.extent,
        ranged=loop.ranged,
        body=_map_places(inner.body, lambda a: _without(a, loop.variable)),
    )
    return merged


def _contiguous(outer: Loop, inner: Loop) -> bool:
    return all(
        place.affine.coefficient(outer.variable)
        == place.affine.coefficient(inner.variable) * inner.extent
        for place in _places(inner.body)
    )


def _places(body: tuple[Statement, ...]) -> list[Place]:
    return [
        s.index  # type: ignore[misc]
        for s in statements(body)
        if isinstance(s, (Load, Store, Position))
    ]


def _without(affine: Affine, variable: int) -> Affine:
    return Affine(affine.constant, tuple(t for t in affine.terms if t[0] != variable))


def _map_places(
    body: tuple[Statement, ...], change: Callable[[Affine], Affine]
) -> tuple[Statement, ...]:
    result: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            result.append(replace(s, body=_map_places(s.body, change)))
        elif isinstance(s, (Load, Store, Position)):
            place: Any = s.index
            result.append(replace(s, index=Place(change(place.affine), place.dynamic)))  # type: ignore[arg-type]
        else:
            result.append(s)
    return tuple(result)


# --- symbols ----------------------------------------------------------------------


class Symbols:
    """The run-time sizes of a function, in order of first use.

    Equal numbers are not merged: two sizes that happen to be equal in one call must
    not make another kernel than two that differ.
    """

    def __init__(self) -> None:
        self.values: list[int | float] = []
        self.known: dict[Any, Any] = {}

    def size(self, number: int, key: Any) -> Size:
        """A literal if small, otherwise the symbol that stands for it."""
        if -BAKED <= number <= BAKED:
            return number
        if key not in self.known:
            self.known[key] = Symbol(len(self.values))
            self.values.append(number)
        found: Symbol = self.known[key]
        return found

    def operand(self, operand: Operand) -> Operand:
        """A literal in the code, or a parameter where the code need not know it.

        So a divisor that is a batch size, or a learning rate, costs no compilation.
        """
        if not isinstance(operand, Constant) or is_baked(operand):
            return operand
        if operand not in self.known:
            self.known[operand] = Parameter(len(self.values), operand.dtype)
            self.values.append(operand.number)
        found: Parameter = self.known[operand]
        return found

    def index(self, place: Place, owner: Any) -> Index:
        """A concrete place with its numbers turned into sizes."""
        affine = place.affine
        offset = self.size(affine.constant, (owner, "offset", affine))
        terms = tuple((v, self.size(c, (owner, v, c))) for v, c in affine.terms)
        dynamic = tuple(
            (self.operand(value), self.size(stride, (owner, "dynamic", k, stride)))
            for k, (value, stride) in enumerate(place.dynamic)
        )
        return Index(offset, terms, dynamic)

    def statement(self, s: Statement) -> Statement:
        """A statement with sizes in the place of numbers."""
        if isinstance(s, Loop):
            assert isinstance(s.extent, int)
            extent = self.size(s.extent, ("extent", s.variable, s.extent))
            block = s.block
            if block is not None:
                block = (block[0], self.size(block[1], ("block", block)))  # type: ignore[assignment]
            return replace(
                s, extent=extent, block=block, body=tuple(map(self.statement, s.body))
            )
        if isinstance(s, Load):
            return replace(s, index=self.index(s.index, s.buffer))  # type: ignore[arg-type]
        if isinstance(s, Store):
            value = self.operand(s.value)
            return replace(s, index=self.index(s.index, s.buffer), value=value)  # type: ignore[arg-type]
        if isinstance(s, Accumulate):
            return replace(s, value=self.operand(s.value))
        if isinstance(s, Let):
            return replace(s, operands=tuple(map(self.operand, s.operands)))
        if isinstance(s, Position):
            return replace(s, index=self.index(s.index, "position"))  # type: ignore[arg-type]
        return s


def is_baked(constant: Constant) -> bool:
    """Whether the code holds the number: halves up to `BAKED`, infinities, booleans."""
    value = constant.number
    if constant.dtype == "bool" or not math.isfinite(value):
        return True
    return bool(abs(value) <= BAKED and 2 * value == int(2 * value))
