"""Rules for selection and logic."""

from __future__ import annotations

from mgrad.expr import Expr
from mgrad.transforms.rewrites.table import is_op, number, op, rule


@rule("select")
def select_known(node: Expr) -> Expr | None:
    condition, x, y = node.args
    if x is y:
        return x
    known = number(condition)
    return None if known is None else (x if known else y)


@rule("select")
def select_negated(node: Expr) -> Expr | None:
    condition, x, y = node.args
    return op("select", condition.args[0], y, x) if is_op(condition, "invert") else None


@rule("select")
def select_again(node: Expr) -> Expr | None:
    """The same condition on an operand has been decided already."""
    condition, x, y = node.args
    if is_op(x, "select") and x.args[0] is condition:
        return op("select", condition, x.args[1], y)
    if is_op(y, "select") and y.args[0] is condition:
        return op("select", condition, x, y.args[2])
    return None


@rule("invert")
def invert_twice(node: Expr) -> Expr | None:
    (x,) = node.args
    return x.args[0] if is_op(x, "invert") else None


@rule("bitwise_and", "bitwise_or")
def logic_of_known(node: Expr) -> Expr | None:
    x, y = node.args
    if x is y:
        return x
    if node.dtype.kind != "b":
        return None
    decides = is_op(node, "bitwise_or")
    for operand, other in ((x, y), (y, x)):
        known = number(other)
        if known is not None:
            return other if bool(known) == decides else operand
    return None
