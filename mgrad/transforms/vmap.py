"""Batching: a graph for one example turned into a graph for many."""

from __future__ import annotations

from collections.abc import Sequence

from mgrad.expr import Expr, new_input, set_origin, transforming
from mgrad.graph import Graph
from mgrad.primitive import batch_broadcast


def vmap(graph: Graph, batched: Sequence[bool], size: int) -> Graph:
    """(x...) -> (y...)   becomes   ([size, x]...) -> ([size, y]...).

    Only the inputs marked in `batched` get the new axis 0; every output does.
    """
    inputs, outputs, flags = batch(graph, batched, size)
    with transforming():
        full = tuple(
            y if is_batched else batch_broadcast(y, size)
            for y, is_batched in zip(outputs, flags, strict=True)
        )
    return Graph(inputs, full)


def batch(
    graph: Graph, batched: Sequence[bool], size: int
) -> tuple[tuple[Expr, ...], tuple[Expr, ...], tuple[bool, ...]]:
    """Inputs, outputs, and which outputs have the batch axis."""
    inputs = tuple(
        new_input(x.dtype, (size, *x.shape), x.owner) if is_batched else x
        for x, is_batched in zip(graph.inputs, batched, strict=True)
    )
    values: dict[Expr, Expr] = {
        old: new
        for old, new in zip(graph.inputs, inputs, strict=True)
        if new is not old
    }
    with transforming():
        for node in graph.nodes:
            flags = [arg in values for arg in node.args]
            if any(flags):
                args = tuple(values.get(arg, arg) for arg in node.args)
                set_origin(node.where)
                values[node] = node.primitive.vmap(node, args, flags)
    outputs = tuple(values.get(y, y) for y in graph.outputs)
    return inputs, outputs, tuple(y in values for y in graph.outputs)
