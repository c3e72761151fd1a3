"""The interpreter: a graph run node by node through NumPy; the compiler's oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.expr import CAPTURED, CONSTANT, Expr, leaked
from mgrad.graph import Graph


def evaluate(graph: Graph, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """(x...) -> (y...) computed with NumPy; arrays in, arrays (or scalars) out."""
    values: dict[Expr, Any] = {}
    for node, array in zip(graph.inputs, arrays, strict=True):
        values[node] = np.asarray(array, node.dtype)
    for node in graph.nodes:
        if node not in values:
            values[node] = compute(node, [values[a] for a in node.args])
    return tuple(np.array(values[node])[()] for node in graph.outputs)


def compute(node: Expr, operands: Sequence[Any]) -> Any:
    """The value of one node from the values of its operands."""
    if node.primitive is CONSTANT:
        return node.params[0].value
    if node.primitive is CAPTURED:
        return node.params[0].array
    if not hasattr(node.primitive, "evaluate"):
        raise leaked(node)
    result = node.primitive.evaluate(node.params, *operands)
    return np.asarray(result, node.dtype)
