"""Run-time checks of index arrays: outputs of the program that say all is in bounds.

The program itself uses the nearest index in bounds, so that a wrong one never touches
foreign memory before it is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mgrad.errors import IndexingError
from mgrad.expr import (
    CAPTURED,
    INPUT,
    Expr,
    Source,
    captured,
    constant,
    format_source,
    make,
    transforming,
    walk,
)
from mgrad.graph import Graph, rebuild, substitute
from mgrad.primitive import REGISTRY, Indexing, broadcast_to
from mgrad.transforms.evaluate import evaluate


class Check(NamedTuple):
    """One extra output: whether indices made at `where` are within `extent`."""

    extent: int
    where: Source | None

    def error(self) -> IndexingError:
        """The error when they are not."""
        return IndexingError(
            f"an index at {format_source(self.where)} is out of bounds: indices must "
            f"be from {-self.extent} to {self.extent - 1} for an axis of extent "
            f"{self.extent}. Use np.clip on the index if values beyond it are meant."
        )


def with_bounds(graph: Graph) -> tuple[Graph, tuple[Check, ...]]:
    """The graph with a boolean output for each index operand that is not constant.

    Constant indices are checked now, and kept as copies that nobody can change.
    """
    found = _bounds(graph)
    if not found:
        return graph, ()
    depends = _dependent_on_inputs(graph)
    replacement: dict[Expr, Expr] = {}
    checks: dict[Expr, Check] = {}
    for (index, extent), where in found.items():
        check = Check(extent, where)
        if not index.size:
            continue
        if not extent:
            raise check.error()
        if index in depends:
            with transforming(where):
                checks.setdefault(_within(index, extent), check)
        else:
            replacement.update(_frozen(index, check))
    outputs = _clamped((*graph.outputs, *checks), depends)
    return Graph(graph.inputs, substitute(outputs, replacement)), tuple(checks.values())


def _clamped(outputs: tuple[Expr, ...], depends: set[Expr]) -> tuple[Expr, ...]:
    """The outputs with every computed index moved to the nearest one in bounds."""
    result: dict[Expr, Expr] = {}
    with transforming():
        for node in walk(outputs):
            args = [result[arg] for arg in node.args]
            if isinstance(node.primitive, Indexing):
                extents = dict(node.primitive.bounds(node))
                for position, arg in enumerate(node.args):
                    if arg in extents and arg in depends and arg.size:
                        args[position] = _nearest(args[position], extents[arg])
            result[node] = rebuild(node, tuple(args))
    return tuple(result[y] for y in outputs)


def _nearest(index: Expr, extent: int) -> Expr:
    """min(max(index, 0), extent - 1)."""
    low = broadcast_to(constant(0, index.dtype), index.shape)
    high = broadcast_to(constant(extent - 1, index.dtype), index.shape)
    return make(REGISTRY["minimum"], (make(REGISTRY["maximum"], (index, low)), high))


def raise_failed(checks: Sequence[Check], flags: Sequence[Any]) -> None:
    """The error of the first check that did not hold."""
    for check, flag in zip(checks, flags, strict=True):
        if not flag:
            raise check.error()


def _bounds(graph: Graph) -> dict[tuple[Expr, int], Source | None]:
    found: dict[tuple[Expr, int], Source | None] = {}
    for node in graph.nodes:
        if isinstance(node.primitive, Indexing):
            for pair in node.primitive.bounds(node):
                found.setdefault(pair, node.where)
    return found


def _dependent_on_inputs(graph: Graph) -> set[Expr]:
    depends: set[Expr] = set(graph.inputs)
    for node in graph.nodes:
        if node.primitive is INPUT or not depends.isdisjoint(node.args):
            depends.add(node)
    return depends


def _within(index: Expr, extent: int) -> Expr:
    """all(0 <= index < extent)."""
    low = broadcast_to(constant(0, index.dtype), index.shape)
    high = broadcast_to(constant(extent, index.dtype), index.shape)
    above = make(REGISTRY["greater_equal"], (index, low))
    below = make(REGISTRY["less"], (index, high))
    inside = make(REGISTRY["bitwise_and"], (above, below))
    if not index.shape:
        return inside
    return make(REGISTRY["reduce_all"], (inside,), (tuple(range(index.ndim)),))


def _frozen(index: Expr, check: Check) -> dict[Expr, Expr]:
    """A constant index, checked; arrays that could change are replaced by copies."""
    (value,) = evaluate(Graph((), (index,)), ())
    if np.any(value < 0) or np.any(value >= check.extent):
        raise check.error()
    if all(node.primitive is not CAPTURED for node in walk((index,))):
        return {}
    copy = np.array(value)
    copy.flags.writeable = False
    return {index: captured(copy)}
