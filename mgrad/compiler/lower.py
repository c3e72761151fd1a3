"""Groups of roots become functions of the loop language."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import prod
from typing import Any

from mgrad.compiler.affine import Affine, flat, strides, variable
from mgrad.compiler.builder import Builder, Place, number, operation_of
from mgrad.compiler.finish import Lowered, collapse, finish
from mgrad.compiler.groups import Group, row_place
from mgrad.compiler.loops import Constant, Loop, Operand
from mgrad.compiler.storing import start
from mgrad.compiler.walk import Position as Index
from mgrad.compiler.walk import (
    identity,
    is_constant,
    is_leaf,
    moved,
    operands,
    storage,
)
from mgrad.expr import Expr
from mgrad.primitive import Elementwise, Gather, Iota, Movement, Reduction

BLOCK = 4096
"""Elements of one block of a full reduction."""


@dataclass(frozen=True)
class Partial:
    """The array of partial results of a reduction, one for each block."""

    root: Expr
    blocks: int


BufferKey = Expr | Partial


class Lowering(Builder):
    """The state of lowering one kernel: scopes, buffers, and values by place."""

    def __init__(self, stored: set[Expr]) -> None:
        super().__init__()
        self.stored = stored
        self.buffers: dict[BufferKey, int] = {}
        self.written: set[BufferKey] = set()

    def buffer(self, key: BufferKey, written: bool = False) -> int:
        """The number of a buffer among the kernel's arguments."""
        if written:
            self.written.add(key)
        return self.buffers.setdefault(key, len(self.buffers))

    def value(self, node: Expr, position: Index) -> Operand:
        """The element of a node at a position, computed or read."""
        stack = [(node, position)]
        while stack:
            top = stack[-1]
            if self.known(top) is not None:
                stack.pop()
                continue
            missing = [need for need in self._needs(*top) if self.known(need) is None]
            if missing:
                stack.extend(missing)
                continue
            self.remember(top, self._define(*top))
            stack.pop()
        found = self.known((node, position))
        assert found is not None
        return found

    def _in_buffer(self, node: Expr) -> bool:
        owner = storage(node)
        return is_leaf(owner) or owner in self.stored

    def _needs(self, node: Expr, position: Index) -> list[tuple[Expr, Index]]:
        return [] if self._in_buffer(node) else operands(node, position)

    def _define(self, node: Expr, position: Index) -> Operand:
        if is_constant(node):
            return number(node.params[0].value, node.dtype.name)
        if self._in_buffer(node):
            return self.element(storage(node), flat(position, node.shape))
        return self.compute(node, position)

    def compute(self, node: Expr, position: Index) -> Operand:
        """A fusible node from its operands, which are known already."""
        primitive = node.primitive
        if isinstance(primitive, Movement):
            index = moved(node, position)
            if index is None:
                return self.element(storage(node.args[0]), flat(position, node.shape))
            return self.value(node.args[0], index)
        if isinstance(primitive, Gather):
            return self._gather(node, position)
        if isinstance(primitive, Iota):
            found = self.position(flat(position, node.shape))
            return self.convert(found, node.dtype.name)
        if is_constant(node):
            return self._define(node, position)
        assert isinstance(primitive, Elementwise), node
        scalars = [self.value(arg, position) for arg in node.args]
        result: Operand = primitive.scalar(self, *scalars, *node.params)
        return result

    def element(self, owner: Expr, place: Affine) -> Operand:
        """An element of a stored array: from a register, or loaded."""
        found = self.known((owner, place))
        if found is None:
            dtype = owner.dtype.name
            found = self.load(self.buffer(owner), dtype, Place(place))
            self.remember((owner, place), found)
        return found

    def _gather(self, node: Expr, position: Index) -> Operand:
        x, *indices = node.args
        (batch,) = node.params
        rank = indices[0].ndim
        rest: Index = (*position[:batch], *(0 for _ in indices), *position[rank:])
        chosen = [self.value(i, position[:rank]) for i in indices]
        place = self.dynamic_place(flat(rest, x.shape), chosen, x.shape, batch)
        return self.load(self.buffer(storage(x)), x.dtype.name, place)

    def dynamic_place(
        self, base: Affine, chosen: Sequence[Operand], shape: Any, batch: int
    ) -> Place:
        """A place with computed positions along the axes after the batch axes.

        Positions are kept inside the array: a wrong one is reported by the program's
        own assertion, and must not read or write elsewhere until then.
        """
        dynamic = []
        for axis, index in enumerate(chosen, start=batch):
            wide = self.convert(index, "int64")
            last = number(max(shape[axis] - 1, 0), "int64")
            safe = self.max(self.min(wide, self.extent(last)), number(0, "int64"))
            dynamic.append((safe, strides(shape)[axis]))
        return Place(base, tuple(dynamic))

    def extent(self, literal: Constant) -> Operand:
        """A size as a value: a literal if small, otherwise read at run time."""
        return self.position(Affine(literal.number))

    def update(self, node: Expr, place: Place, operation: str, value: Operand) -> None:
        """Combine a value into an element of the node's buffer."""
        target, dtype = self.buffer(node, True), node.dtype.name
        before = self.load(target, dtype, place, changing=True)
        self.store(target, place, self.let(operation, (before, value), dtype))

    def compute_root(self, root: Expr, position: Index) -> Operand:
        """A root's own expression; what it needs is computed first."""
        for need in operands(root, position):
            self.value(*need)
        result = self.compute(root, position)
        self.remember((root, flat(position, root.shape)), result)
        return result


@dataclass
class Request:
    """What to lower: a group, which of its roots are written, all stored values."""

    group: Group
    written: set[Expr]
    stored: set[Expr] = field(default_factory=set)


def lower(request: Request) -> list[Lowered]:
    """The kernels of a group, to be run one after the other."""
    group = request.group
    if group.kept is None:
        return [lower_elements(request)]
    if group.column_wise:
        return [lower_columns(request)]
    if group.blocked:
        return lower_blocked(request)
    return [lower_rows(request)]


def lower_elements(request: Request) -> Lowered:
    """One nest over the domain; every root is stored."""
    group = request.group
    builder = Lowering(request.stored)
    small = prod(group.domain) <= 256 and all(n <= 16 for n in group.domain)
    with builder.nest(enumerate(group.domain), ranged=not small):
        for root in group.roots:
            emit_element(builder, root, request.written)
    return finish(builder)


def emit_element(builder: Lowering, root: Expr, written: set[Expr]) -> None:
    """Compute a root's element in the open loops and store it."""
    position = identity(root.shape)
    result = builder.compute_root(root, position)
    if root in written:
        place = Place(flat(position, root.shape))
        builder.store(builder.buffer(root, True), place, result)


def lower_rows(request: Request) -> Lowered:
    """Loops over the kept axes; inside, one pass over the row for each phase."""
    group = request.group
    assert group.kept is not None
    builder = Lowering(request.stored)
    with builder.nest(group.loops_over(group.kept), ranged=True):
        for phase in range(max(group.phase.values()) + 1):
            emit_phase(builder, request, phase)
    return finish(builder)


def emit_phase(builder: Lowering, request: Request, phase: int) -> None:
    """Accumulate and store elements in one pass, then the values of the row."""
    group = request.group
    inside = [r for r in group.roots if group.phase[r] == phase]
    passing = [
        r for r in inside if isinstance(r.primitive, Reduction) or r not in group.rows
    ]
    accumulators = open_accumulators(builder, passing)
    with builder.nest(group.loops_over(group.reduced)):
        for root in passing:
            if root in accumulators:
                accumulate(builder, root, accumulators[root])
            else:
                emit_element(builder, root, request.written)
    for root in inside:
        if root in group.rows:
            finish_row(builder, request, root, accumulators.get(root))


def open_accumulators(builder: Lowering, roots: Sequence[Expr]) -> dict[Expr, str]:
    """A variable for each reduction, at its identity."""
    return {
        root: builder.variable(root.dtype.name, start_value(root))
        for root in roots
        if isinstance(root.primitive, Reduction)
    }


def start_value(root: Expr) -> Constant:
    """The identity of a reduction."""
    return number(root.primitive.identity(root.dtype), root.dtype.name)


def accumulate(builder: Lowering, root: Expr, name: str) -> None:
    """Combine the current element into a reduction's variable."""
    _, [(operand, position)] = start(root)
    value = builder.value(operand, position)
    builder.accumulate(name, root.dtype.name, combination(root), value)


def combination(root: Expr) -> str:
    """The operation by which a reduction combines."""
    name = operation_of(root.primitive.combine, None, None)
    assert name is not None, root
    return name


def finish_row(
    builder: Lowering, request: Request, root: Expr, accumulator: str | None
) -> None:
    """The value of a row: read from its variable, or computed from others."""
    place = row_place(request.group, root)
    if accumulator is not None:
        value: Operand = builder.read(accumulator, root.dtype.name)
    else:
        value = builder.compute_root(root, row_position(request.group, root))
    builder.remember((root, place), value)
    if root in request.written:
        builder.store(builder.buffer(root, True), Place(place), value)


def row_position(group: Group, root: Expr) -> Index:
    """The index of a row's value in terms of the group's loop variables."""
    kept = iter(group.kept or ())
    return tuple(0 if extent == 1 else variable(next(kept)) for extent in root.shape)


def lower_columns(request: Request) -> Lowered:
    """Accumulators in memory: the contiguous kept axes are the innermost loop."""
    group = request.group
    kept = group.kept or ()
    tail = [d for i, d in enumerate(kept) if d - len(group.domain) == i - len(kept)]
    outer = [d for d in kept if d not in tail]
    builder = Lowering(request.stored)

    def columns() -> AbstractContextManager[None]:
        return builder.nest(group.loops_over(tail), ranged=not outer)

    with builder.nest(group.loops_over(outer), ranged=True):
        reductions = [r for r in group.roots if isinstance(r.primitive, Reduction)]
        with columns():
            for root in reductions:
                target = builder.buffer(root, True)
                builder.store(target, Place(row_place(group, root)), start_value(root))
        with builder.nest(group.loops_over(group.reduced)), columns():
            for root in group.roots:
                if isinstance(root.primitive, Reduction):
                    accumulate_in_memory(builder, group, root)
                elif root not in group.rows:
                    emit_element(builder, root, request.written)
        if len(reductions) < len(group.rows):
            with columns():
                for root in group.roots:
                    if root in group.rows and not isinstance(root.primitive, Reduction):
                        finish_row(builder, request, root, None)
    return finish(builder)


def accumulate_in_memory(builder: Lowering, group: Group, root: Expr) -> None:
    """Combine the current element into the reduction's element of its buffer."""
    _, [(operand, position)] = start(root)
    value = builder.value(operand, position)
    builder.update(root, Place(row_place(group, root)), combination(root), value)


def lower_blocked(request: Request) -> list[Lowered]:
    """A full reduction in two kernels: partial results by block, then their total."""
    group = request.group
    first = Lowering(request.stored)
    reductions = [r for r in group.roots if isinstance(r.primitive, Reduction)]
    block = len(group.domain)
    accumulators = open_accumulators(first, reductions)
    with first.nest(enumerate(group.domain)):
        for root in group.roots:
            if root in accumulators:
                accumulate(first, root, accumulators[root])
            elif root not in group.rows:
                emit_element(first, root, request.written)
    extent = collapsed_extent(first)
    rows = max(1, BLOCK * extent // prod(group.domain))
    blocks = -(-extent // rows)
    partials = {root: Partial(root, blocks) for root in reductions}
    for root in reductions:
        total = first.read(accumulators[root], root.dtype.name)
        target = first.buffer(partials[root], True)
        first.store(target, Place(variable(block)), total)
    return [
        finish(first, block=(block, rows, blocks)),
        lower_totals(request, partials, blocks),
    ]


def collapsed_extent(builder: Lowering) -> int:
    """The extent of the outermost loop of the only nest, after collapsing."""
    nest = next(s for s in builder.scopes[0].statements if isinstance(s, Loop))
    extent = collapse(nest).extent
    assert isinstance(extent, int)
    return extent


def lower_totals(
    request: Request, partials: dict[Expr, Partial], blocks: int
) -> Lowered:
    """Combine the partial results, then what depends on the totals."""
    builder = Lowering(request.stored)
    accumulators = open_accumulators(builder, list(partials))
    # Ranged, though never for several threads: so that few blocks are not baked in.
    with builder.nest([(0, blocks)], ranged=True):
        for root, partial in partials.items():
            dtype = root.dtype.name
            value = builder.load(builder.buffer(partial), dtype, Place(variable(0)))
            builder.accumulate(accumulators[root], dtype, combination(root), value)
    for root in request.group.roots:
        if root in request.group.rows:
            finish_row(builder, request, root, accumulators.get(root))
    return finish(builder, serial=True)
