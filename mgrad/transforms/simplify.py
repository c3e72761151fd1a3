"""Simplification: local rules run to a fixed point, operands first.

Every rule keeps the value, NaN and infinities included, with three liberties: x + 0
is x (the sum of -0.0 and 0.0 would be 0.0), the sum of n equal numbers is n times one
of them, and sums in a contraction may be taken in another order. Gradients must be
taken before, as `stop_gradient` disappears here.
"""

from __future__ import annotations

from mgrad.expr import Expr, make, set_origin, transforming
from mgrad.graph import Graph
from mgrad.primitive import Primitive
from mgrad.transforms import rewrites  # noqa: F401  (importing enters the rules)
from mgrad.transforms.rewrites.table import rules_for


def simplify(graph: Graph) -> Graph:
    """(x...) -> (y...)   becomes a smaller graph of the same function."""
    done: dict[Expr, Expr] = {x: x for x in graph.inputs}
    with transforming():
        for y in graph.outputs:
            _simplify_below(y, done)
    return Graph(graph.inputs, tuple(done[y] for y in graph.outputs))


def _simplify_below(output: Expr, done: dict[Expr, Expr]) -> None:
    """Fill in `done` for the output; `became` links a node to its first rewriting."""
    became: dict[Expr, Expr] = {}
    stack = [output]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        following = became.get(node)
        if following is None:
            missing = [arg for arg in node.args if arg not in done]
            if missing:
                stack.extend(missing)
                continue
            following = _step(node, done)
            if following is node:
                done[node] = node
                stack.pop()
                continue
            became[node] = following
        if following in done:
            done[node] = done[following]
            stack.pop()
        else:
            stack.append(following)


def _step(node: Expr, done: dict[Expr, Expr]) -> Expr:
    """The node with simplified operands, or else after the first rule that applies."""
    set_origin(node.where)
    if isinstance(node.primitive, Primitive):
        current = make(node.primitive, tuple(done[a] for a in node.args), node.params)
        if current is not node:
            return current
        for entry in rules_for(node.primitive):
            new = entry.apply(node)
            if new is not None and new is not node:
                return new
    return node
