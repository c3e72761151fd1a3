"""Forward mode: tangents pushed from the inputs of a graph to its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from mgrad.expr import Expr, new_input, set_origin, transforming
from mgrad.graph import Graph
from mgrad.primitive import full_like, is_differentiable


def jvp(graph: Graph) -> Graph:
    """(x...) -> (y...)   becomes   (x..., t_x...) -> (y..., t_y...).

    Tangents of integers and booleans are ignored where they come in, and zeros of
    their own dtype where they go out.
    """
    tangents = tuple(new_input(x.dtype, x.shape, x.owner) for x in graph.inputs)
    pushed = push_forward(graph, tangents)
    full = [
        full_like(y, 0) if t is None else t
        for y, t in zip(graph.outputs, pushed, strict=True)
    ]
    return Graph((*graph.inputs, *tangents), (*graph.outputs, *full))


def push_forward(graph: Graph, tangents: Sequence[Expr | None]) -> list[Expr | None]:
    """The tangent of each output from those of the inputs; None stands for zero."""
    found: dict[Expr, Expr] = {
        x: t
        for x, t in zip(graph.inputs, tangents, strict=True)
        if t is not None and is_differentiable(x)
    }
    inputs = frozenset(graph.inputs)
    with transforming():
        for node in graph.nodes:
            if node in inputs or not is_differentiable(node):
                continue
            operands = [found.get(arg) for arg in node.args]
            if all(t is None for t in operands):
                continue
            set_origin(node.where)
            tangent = node.primitive.jvp(node, operands)
            if tangent is not None:
                found[node] = tangent
    return [found.get(y) for y in graph.outputs]
