"""Comparison, logic, selection and conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.expr import Expr, Params, Shape, make
from mgrad.primitive import (
    Cotangent,
    Elementwise,
    as_expr,
    both,
    convert,
    full_like,
    is_differentiable,
    result_type,
)


def _comparison(name: str, doc: str, function: np.ufunc, operation: str) -> Elementwise:
    return Elementwise(
        name,
        doc,
        numpy=function,
        scalar=lambda s, x, y: getattr(s, operation)(x, y),
        kinds="bif",
        result="bool",
        arity=2,
    )


equal = _comparison("equal", "x == y.", np.equal, "eq")
not_equal = _comparison("not_equal", "x != y.", np.not_equal, "ne")
less = _comparison("less", "x < y.", np.less, "lt")
less_equal = _comparison("less_equal", "x <= y.", np.less_equal, "le")
greater = _comparison("greater", "x > y.", np.greater, "gt")
greater_equal = _comparison("greater_equal", "x >= y.", np.greater_equal, "ge")

bitwise_and = Elementwise(
    "bitwise_and",
    "x & y, of integers or booleans.",
    numpy=np.bitwise_and,
    scalar=lambda s, x, y: s.bit_and(x, y),
    kinds="bi",
    arity=2,
)
bitwise_or = Elementwise(
    "bitwise_or",
    "x | y, of integers or booleans.",
    numpy=np.bitwise_or,
    scalar=lambda s, x, y: s.bit_or(x, y),
    kinds="bi",
    arity=2,
)
bitwise_xor = Elementwise(
    "bitwise_xor",
    "x ^ y, of integers or booleans.",
    numpy=np.bitwise_xor,
    scalar=lambda s, x, y: s.bit_xor(x, y),
    kinds="bi",
    arity=2,
)
invert = Elementwise(
    "invert",
    "~x, of integers or booleans.",
    numpy=np.invert,
    scalar=lambda s, x: s.bit_not(x),
    kinds="bi",
)
isnan = Elementwise(
    "isnan",
    "Whether x is NaN.",
    numpy=np.isnan,
    scalar=lambda s, x: s.ne(x, x),
    result="bool",
)
isfinite = Elementwise(
    "isfinite",
    "Whether x is neither infinite nor NaN.",
    numpy=np.isfinite,
    scalar=lambda s, x: s.lt(s.abs(x), s.constant(np.inf, x)),
    result="bool",
)
isinf = Elementwise(
    "isinf",
    "Whether x is infinite.",
    numpy=np.isinf,
    scalar=lambda s, x: s.eq(s.abs(x), s.constant(np.inf, x)),
    result="bool",
)
signbit = Elementwise(
    "signbit",
    "Whether the sign bit of x is set.",
    numpy=np.signbit,
    scalar=lambda s, x: s.lt(s.copysign(s.one(x), x), s.zero(x)),
    result="bool",
)


class _Select(Elementwise):
    """`where`: linear in the two values; the cotangent of the other is absorbing."""

    def __call__(self, condition: Any, x: Any, y: Any) -> Expr:
        dtype = result_type(x, y)
        chosen = as_expr(condition)
        if chosen.dtype.kind != "b":
            chosen = not_equal(chosen, 0)
        return self.bind([chosen, as_expr(x, dtype), as_expr(y, dtype)])

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        condition, x, _ = node.args
        tx, ty = tangents[1:]
        if tx is None and ty is None:
            return None
        zero = full_like(x, 0)
        return make(
            self, (condition, zero if tx is None else tx, zero if ty is None else ty)
        )

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        condition = node.args[0]
        if not is_differentiable(node):
            return [None, None, None]
        zero = full_like(node, 0)
        selected = make(self, (condition, ct.value, zero))
        other = make(self, (condition, zero, ct.value))
        return [
            None,
            Cotangent(selected, both(condition, ct.mask)),
            Cotangent(other, both(~condition, ct.mask)),
        ]


select = _Select(
    "select",
    "x where the condition holds, else y.",
    numpy=np.where,
    scalar=lambda s, condition, x, y: s.select(condition, x, y),
    kinds="bif",
    arity=3,
)


def where(condition: Any, x: Any, y: Any) -> Expr:
    """`x` where the condition holds, else `y`, whose gradients are exact zeros."""
    return select(condition, x, y)


class _Convert(Elementwise):
    """Another dtype; its parameter is the name of the dtype."""

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        return np.dtype(params[0]), args[0].shape

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(arrays[0]).astype(params[0])

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        if tangents[0] is None or not is_differentiable(node):
            return None
        return convert(tangents[0], node.dtype)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        (x,) = node.args
        if not is_differentiable(x):
            return [None]
        return [Cotangent(convert(ct.value, x.dtype), ct.mask)]


_Convert(
    "convert",
    "x as another dtype.",
    numpy=np.asarray,
    scalar=lambda s, x, dtype: s.convert(x, dtype),
    kinds="bif",
)


stop_gradient = Elementwise(
    "stop_gradient",
    "x, as a constant for every derivative.",
    numpy=lambda x: x,
    scalar=lambda s, x: x,
    kinds="bif",
    cost=0,
)


copy = Elementwise(
    "copy",
    "x in a buffer of its own; the parameter tells several copies apart.",
    numpy=np.array,
    scalar=lambda s, x, *_: x,
    partials=lambda out, x: (1,),
    kinds="bif",
    cost=0,
)
