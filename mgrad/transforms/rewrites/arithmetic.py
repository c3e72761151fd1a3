"""Rules for elementwise arithmetic: constants, units, signs, powers, conversions."""

from __future__ import annotations

import math

import numpy as np

from mgrad.expr import CONSTANT, Expr, constant, make
from mgrad.primitive import Elementwise, broadcast_to
from mgrad.transforms.rewrites.table import is_number, is_op, number, op, rule


@rule(Elementwise)
def fold_constants(node: Expr) -> Expr | None:
    """Scalars that are known now."""
    if node.shape or not node.args:
        return None
    if any(arg.primitive is not CONSTANT for arg in node.args):
        return None
    operands = [arg.params[0].value for arg in node.args]
    return constant(node.primitive.evaluate(node.params, *operands), node.dtype)


@rule(Elementwise)
def compute_before_broadcasting(node: Expr) -> Expr | None:
    """f(broadcast x, broadcast y) is the broadcast of f(x, y)."""
    if not node.shape:
        return None
    sources = []
    for arg in node.args:
        if not is_op(arg, "broadcast_to"):
            return None
        sources.append(arg.args[0])
    shape = np.broadcast_shapes(*(s.shape for s in sources))
    if math.prod(shape) >= node.size:
        return None
    args = tuple(broadcast_to(s, shape) for s in sources)
    return broadcast_to(make(node.primitive, args, node.params), node.shape)


@rule("add")
def add_zero(node: Expr) -> Expr | None:
    x, y = node.args
    if is_number(y, 0):
        return x
    return y if is_number(x, 0) else None


@rule("add")
def add_negative(node: Expr) -> Expr | None:
    x, y = node.args
    if is_op(y, "negative"):
        return op("subtract", x, y.args[0])
    return op("subtract", y, x.args[0]) if is_op(x, "negative") else None


@rule("subtract")
def subtract_zero(node: Expr) -> Expr | None:
    x, y = node.args
    return x if is_number(y, 0) else None


@rule("subtract")
def subtract_negative(node: Expr) -> Expr | None:
    x, y = node.args
    return op("add", x, y.args[0]) if is_op(y, "negative") else None


@rule("multiply")
def multiply_by_one(node: Expr) -> Expr | None:
    x, y = node.args
    for operand, factor in ((x, y), (y, x)):
        if is_number(factor, 1):
            return operand
        if is_number(factor, -1):
            return op("negative", operand)
    return None


@rule("multiply", "divide")
def negate_twice_in_product(node: Expr) -> Expr | None:
    x, y = node.args
    if is_op(x, "negative") and is_op(y, "negative"):
        return make(node.primitive, (x.args[0], y.args[0]))
    return None


@rule("divide")
def divide_by_number(node: Expr) -> Expr | None:
    """x / 1, and x / 2^k as an exact multiplication, for small numbers.

    Large ones are sizes: a batch of 128 must not make another kernel than one of 100.
    """
    x, y = node.args
    divisor = number(y)
    if divisor is None:
        return None
    if divisor == 1:
        return x
    if divisor == -1:
        return op("negative", x)
    if abs(divisor) not in (2, 4, 8, 16):
        return None
    inverse = constant(1 / float(divisor), node.dtype)
    return op("multiply", x, broadcast_to(inverse, x.shape))


@rule("negative")
def negate_twice(node: Expr) -> Expr | None:
    (x,) = node.args
    return x.args[0] if is_op(x, "negative") else None


@rule("negative")
def negate_scaled(node: Expr) -> Expr | None:
    """-(c x) is (-c) x for a constant."""
    (x,) = node.args
    if not is_op(x, "multiply"):
        return None
    for factor, other in (x.args, reversed(x.args)):
        value = number(factor)
        if value is not None:
            negated = broadcast_to(constant(-value, x.dtype), x.shape)
            return op("multiply", negated, other)
    return None


@rule("power")
def small_powers(node: Expr) -> Expr | None:
    x, y = node.args
    exponent = number(y)
    if exponent is None:
        return None
    if exponent == 0:
        return broadcast_to(constant(1, node.dtype), node.shape)
    if exponent == 1:
        return x
    return op("multiply", x, x) if exponent == 2 else None


@rule("stop_gradient")
def drop_stop_gradient(node: Expr) -> Expr | None:
    return node.args[0]


_EXACT = {("b", "i"), ("b", "f"), ("i", "i"), ("f", "f")}


@rule("convert")
def convert_back(node: Expr) -> Expr | None:
    """To its own dtype; and to a wider dtype and back."""
    (x,) = node.args
    if x.dtype == node.dtype:
        return x
    if not is_op(x, "convert"):
        return None
    (source,) = x.args
    kinds = (source.dtype.kind, x.dtype.kind)
    wider = kinds in _EXACT and source.itemsize <= x.itemsize
    return source if source.dtype == node.dtype and wider else None
