"""Reverse mode: cotangents pulled from the outputs of a graph back to its inputs."""

from __future__ import annotations

from collections.abc import Sequence

from mgrad.expr import Expr, new_input, set_origin, transforming
from mgrad.graph import Graph
from mgrad.primitive import Cotangent, add_cotangents, full_like, is_differentiable


def vjp(graph: Graph, needed: Sequence[bool] | None = None) -> Graph:
    """(x...) -> (y...)   becomes   (x..., ct_y...) -> (ct_x...).

    `needed` says for which inputs; there is one output for each of those, zeros of
    its shape and dtype where no cotangent arrives (so for every integer input).
    """
    cts = tuple(new_input(y.dtype, y.shape, y.owner) for y in graph.outputs)
    if needed is None:
        needed = [True] * len(graph.inputs)
    pulled = pull_back(graph, cts, needed)
    wanted = [
        full_like(x, 0) if ct is None else ct
        for x, ct, is_needed in zip(graph.inputs, pulled, needed, strict=True)
        if is_needed
    ]
    return Graph((*graph.inputs, *cts), tuple(wanted))


def pull_back(
    graph: Graph,
    cotangents: Sequence[Expr | None],
    needed: Sequence[bool] | None = None,
) -> list[Expr | None]:
    """The cotangent of each input from those of the outputs; None stands for zero."""
    if needed is None:
        needed = [True] * len(graph.inputs)
    targets = {
        x
        for x, is_needed in zip(graph.inputs, needed, strict=True)
        if is_needed and is_differentiable(x)
    }
    active = dependents(graph, targets)
    total: dict[Expr, Cotangent] = {}
    with transforming():
        for y, ct in zip(graph.outputs, cotangents, strict=True):
            if ct is not None and y in active:
                _accumulate(total, y, Cotangent(ct))
        for node in reversed(graph.nodes):
            if node in active and node in total and node not in targets:
                _visit(node, total, active)
    return [total[x].value if x in total else None for x in graph.inputs]


def dependents(graph: Graph, sources: set[Expr]) -> set[Expr]:
    """The sources, and every differentiable node that depends on one of them."""
    found = set(sources)
    inputs = frozenset(graph.inputs)
    for node in graph.nodes:
        if node in inputs or not is_differentiable(node):
            continue
        if not found.isdisjoint(node.args):
            found.add(node)
    return found


def _visit(node: Expr, total: dict[Expr, Cotangent], active: set[Expr]) -> None:
    """Hand the cotangent of a node on to its operands."""
    set_origin(node.where)
    parts = node.primitive.vjp(node, total.pop(node))
    for arg, part in zip(node.args, parts, strict=True):
        if part is not None and arg in active:
            _accumulate(total, arg, part)


def _accumulate(total: dict[Expr, Cotangent], node: Expr, part: Cotangent) -> None:
    summed = add_cotangents(total.get(node), part)
    assert summed is not None
    total[node] = summed
