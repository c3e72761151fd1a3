"""The ufuncs of `scipy.special` that have a primitive or are made of some."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mgrad.expr import Expr
from mgrad.numpy.ufuncs import as_floating, as_floating_dtype, ufunc
from mgrad.primitive import as_expr, result_type
from mgrad.primitives import arithmetic, elementary, logic
from mgrad.primitives.logic import where

erf = ufunc("erf", name="erf")(elementary.erf)
erfc = ufunc("erfc", name="erfc")(elementary.erfc)
expit = ufunc("expit", name="expit")(elementary.sigmoid)


@ufunc("logit")
def logit(x: Any) -> Expr:
    """log(x / (1 - x))."""
    node = as_floating(as_expr(x))
    return elementary.log(node) - elementary.log1p(-node)


@ufunc("log_expit")
def log_expit(x: Any) -> Expr:
    """log(expit(x)) without cancellation."""
    return -elementary.logaddexp(-as_floating(as_expr(x)), 0.0)


@ufunc("exp10")
def exp10(x: Any) -> Expr:
    """10 to the power x."""
    return arithmetic.power(as_expr(10.0, as_floating(as_expr(x)).dtype), x)


def _floating(*values: Any) -> list[Expr]:
    dtype = as_floating_dtype(result_type(*values))
    return [as_expr(v, dtype) for v in values]


@ufunc("xlogy", arity=2)
def xlogy(x: Any, y: Any) -> Expr:
    """x log(y), and 0 where x is 0; there the derivative in y is 0."""
    x, y = _floating(x, y)
    zero = (x == 0) & ((y <= 0) | (y == np.inf))
    return where(zero, 0.0, x * elementary.log(where(zero, 1.0, y)))


@ufunc("xlog1py", arity=2)
def xlog1py(x: Any, y: Any) -> Expr:
    """x log(1 + y), and 0 where x is 0."""
    x, y = _floating(x, y)
    zero = (x == 0) & ((y <= -1) | (y == np.inf))
    return where(zero, 0.0, x * elementary.log1p(where(zero, 0.0, y)))


@ufunc("entr")
def entr(x: Any) -> Expr:
    """-x log(x): 0 at 0, minus infinity below."""
    (x,) = _floating(x)
    positive = x > 0
    value = -x * elementary.log(where(positive, x, 1.0))
    return where(x < 0, -np.inf, where(positive | logic.isnan(x), value, 0.0))


@ufunc("rel_entr", arity=2)
def rel_entr(x: Any, y: Any) -> Expr:
    """x log(x / y): 0 where x is 0 and y >= 0, infinity outside the domain."""
    x, y = _floating(x, y)
    inside = (x > 0) & (y > 0)
    value = x * elementary.log(where(inside, x, 1.0) / where(inside, y, 1.0))
    edge = where((x == 0) & (y >= 0), 0.0, np.inf)
    missing = logic.isnan(x) | logic.isnan(y)
    return where(inside, value, where(missing, np.nan, edge))


@ufunc("kl_div", arity=2)
def kl_div(x: Any, y: Any) -> Expr:
    """x log(x / y) - x + y."""
    x, y = _floating(x, y)
    value = rel_entr(x, y)
    return where(value == np.inf, value, value - x + y)


@ufunc("ndtr")
def ndtr(x: Any) -> Expr:
    """The normal distribution function."""
    (x,) = _floating(x)
    return 0.5 * elementary.erfc(-x / math.sqrt(2))


FAR = -10.0
SERIES = [(-1) ** k * math.prod(range(1, 2 * k, 2)) for k in range(14)]


@ufunc("log_ndtr")
def log_ndtr(x: Any) -> Expr:
    """The logarithm of the normal distribution function, without underflow."""
    (x,) = _floating(x)
    far, high = x < FAR, x > 1
    tail = where(far, x, FAR)
    inverse, series = 1 / (tail * tail), 0.0
    for coefficient in reversed(SERIES):
        series = coefficient + inverse * series
    asymptotic = (
        -0.5 * tail * tail
        - elementary.log(-tail)
        - 0.5 * math.log(2 * math.pi)
        + elementary.log(series)
    )
    middle = elementary.log(ndtr(where(far | high, 0.0, x)))
    upper = elementary.log1p(-ndtr(-where(high, x, 1.0)))
    return where(far, asymptotic, where(high, upper, middle))
