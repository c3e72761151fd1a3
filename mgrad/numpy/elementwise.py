"""Elementwise functions of NumPy that are not ufuncs, or that give two results."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mgrad.expr import Expr
from mgrad.numpy.arguments import as_node, public, refuse_out
from mgrad.numpy.ufuncs import (
    PRIMITIVE_UFUNCS,
    as_floating,
    as_floating_dtype,
    trunc,
)
from mgrad.primitive import as_expr, convert, result_type
from mgrad.primitives import arithmetic, elementary, logic
from mgrad.primitives.logic import where


@public(np.fix)
def fix(x: Any, out: Any = None) -> Expr:
    """x rounded towards 0."""
    refuse_out(out, "fix")
    return trunc(x)


@public(np.divmod, name="divmod")
def divmod_(x: Any, y: Any, **_: Any) -> tuple[Expr, Expr]:
    """x // y and x % y."""
    return arithmetic.floor_divide(x, y), arithmetic.remainder(x, y)


@public(np.modf)
def modf(x: Any, **_: Any) -> tuple[Expr, Expr]:
    """Fraction and integer part, each with the sign of x."""
    node = as_floating(as_node(x))
    whole = arithmetic.trunc(node)
    fraction = where(logic.isinf(node), 0.0, node - whole)
    return arithmetic.copysign(fraction, node), whole


@public(np.sinc)
def sinc(x: Any) -> Expr:
    """sin(pi x) / (pi x), smooth through 0."""
    y = as_floating(as_node(x)) * math.pi
    small = arithmetic.absolute(y) < 0.1
    near, far = where(small, y, 0.0), where(small, 1.0, y)
    square = near * near
    series: Any = 0.0
    for k in range(6, -1, -1):
        series = (-1) ** k / math.factorial(2 * k + 1) + square * series
    return where(small, series, elementary.sin(far) / far)


@public(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Expr:
    """x with NaN and infinities replaced by numbers."""
    node = as_node(x)
    if node.dtype.kind != "f":
        return node
    limits = np.finfo(node.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    result = where(logic.isnan(node), as_expr(nan, node.dtype), node)
    result = where(node == np.inf, as_expr(high, node.dtype), result)
    return where(node == -np.inf, as_expr(low, node.dtype), result)


_MISSING = object()


@public(np.clip)
def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = _MISSING,
    max: Any = _MISSING,
    **kwargs: Any,
) -> Expr:
    """a limited to [a_min, a_max]; at a limit the derivative is 1/2."""
    refuse_out(out, "clip")
    low = a_min if min is _MISSING else min
    high = a_max if max is _MISSING else max
    low = None if low is np._NoValue else low
    high = None if high is np._NoValue else high
    result = as_node(a)
    if low is not None:
        result = PRIMITIVE_UFUNCS["maximum"](result, low, **kwargs)
    if high is not None:
        result = PRIMITIVE_UFUNCS["minimum"](result, high, **kwargs)
    return result


@public(np.round, name="round")
def round_(a: Any, decimals: int = 0, out: Any = None) -> Expr:
    """The nearest number with so many decimals, halves to even; the derivative is 0."""
    refuse_out(out, "round")
    node = as_node(a)
    if node.dtype.kind != "f":
        if decimals >= 0:
            return as_floating(node) if node.dtype.kind == "b" else node
        tens = 10**-decimals
        return convert(
            arithmetic.rint(arithmetic.divide(node, tens)) * tens, node.dtype
        )
    if decimals == 0:
        return arithmetic.rint(node)
    if decimals > 0:
        return arithmetic.rint(node * 10.0**decimals) / 10.0**decimals
    return arithmetic.rint(node / 10.0**-decimals) * 10.0**-decimals


@public(np.isclose)
def isclose(
    a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False
) -> Expr:
    """Whether |a - b| <= atol + rtol |b|."""
    dtype = as_floating_dtype(result_type(a, b))
    x, y = as_expr(as_node(a), dtype), as_expr(as_node(b), dtype)
    near = arithmetic.absolute(x - y) <= atol + rtol * arithmetic.absolute(y)
    close = (near & logic.isfinite(y)) | (x == y)
    return close | (logic.isnan(x) & logic.isnan(y)) if equal_nan else close


@public(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Expr:
    """Whether x is +infinity."""
    refuse_out(out, "isposinf")
    return as_floating(as_node(x)) == np.inf


@public(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Expr:
    """Whether x is -infinity."""
    refuse_out(out, "isneginf")
    return as_floating(as_node(x)) == -np.inf


@public(np.real)
def real(val: Any) -> Expr:
    """x itself: values are real."""
    return as_node(val)


@public(np.imag)
def imag(val: Any) -> Expr:
    """Zeros: values are real."""
    node = as_node(val)
    return node * 0


public(np.around, name="around")(round_)
