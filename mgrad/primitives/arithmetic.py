"""Arithmetic: the four operations, powers, rounding, extremes."""

# mypy: disable-error-code="has-type,no-untyped-call,no-untyped-def"
# (declarations refer to one another, their rules are equations)

from __future__ import annotations

import numpy as np

from mgrad.primitive import Elementwise
from mgrad.primitives.logic import where

add = Elementwise(
    "add",
    "x + y.",
    numpy=np.add,
    scalar=lambda s, x, y: s.add(x, y),
    partials=lambda out, x, y: (1, 1),
    kinds="if",
    arity=2,
)
subtract = Elementwise(
    "subtract",
    "x - y.",
    numpy=np.subtract,
    scalar=lambda s, x, y: s.sub(x, y),
    partials=lambda out, x, y: (1, -1),
    kinds="if",
    arity=2,
)
multiply = Elementwise(
    "multiply",
    "x y.",
    numpy=np.multiply,
    scalar=lambda s, x, y: s.mul(x, y),
    partials=lambda out, x, y: (y, x),
    kinds="if",
    arity=2,
)
divide = Elementwise(
    "divide",
    "x / y.",
    numpy=np.true_divide,
    scalar=lambda s, x, y: s.div(x, y),
    partials=lambda out, x, y: (1 / y, -out * (1 / y)),
    domain=((-3.0, 3.0), (0.5, 3.0)),
    cost=4,
    arity=2,
)
negative = Elementwise(
    "negative",
    "-x.",
    numpy=np.negative,
    scalar=lambda s, x: s.neg(x),
    partials=lambda out, x: (-1,),
    kinds="if",
)
absolute = Elementwise(
    "absolute",
    "|x|; the derivative at 0 is 0.",
    numpy=np.absolute,
    scalar=lambda s, x: s.abs(x),
    partials=lambda out, x: (sign(x),),
    kinds="if",
)
sign = Elementwise(
    "sign",
    "-1, 0 or 1 by the sign of x; NaN for NaN.",
    numpy=np.sign,
    scalar=lambda s, x: s.select(
        s.gt(x, s.zero(x)),
        s.one(x),
        s.select(s.lt(x, s.zero(x)), s.neg(s.one(x)), s.add(x, s.zero(x))),
    ),
    kinds="if",
)
maximum = Elementwise(
    "maximum",
    "The larger of x and y, NaN if either is; ties share the cotangent.",
    numpy=np.maximum,
    scalar=lambda s, x, y: s.max(x, y),
    partials=lambda out, x, y: (_share(x, y, x > y), _share(x, y, x < y)),
    kinds="if",
    arity=2,
)
minimum = Elementwise(
    "minimum",
    "The smaller of x and y, NaN if either is; ties share the cotangent.",
    numpy=np.minimum,
    scalar=lambda s, x, y: s.min(x, y),
    partials=lambda out, x, y: (_share(x, y, x < y), _share(x, y, x > y)),
    kinds="if",
    arity=2,
)


def _share(x, y, wins):
    return where(x == y, 0.5, wins.astype(x.dtype))


sqrt = Elementwise(
    "sqrt",
    "The square root; under a zero cotangent the derivative at 0 is 0.",
    numpy=np.sqrt,
    scalar=lambda s, x: s.sqrt(x),
    partials=lambda out, x: (0.5 / out,),
    singular=lambda out, x: out == 0,
    domain=(0.1, 4.0),
    cost=6,
)
cbrt = Elementwise(
    "cbrt",
    "The cube root.",
    numpy=np.cbrt,
    scalar=lambda s, x: s.cbrt(x),
    partials=lambda out, x: (1 / (3 * out * out),),
    singular=lambda out, x: out == 0,
    domain=(0.1, 4.0),
    cost=30,
)
power = Elementwise(
    "power",
    "x ** y; with x = 0 the derivative in y is 0.",
    numpy=np.power,
    scalar=lambda s, x, y: s.pow(x, y),
    partials=lambda out, x, y: (
        _power_slope(x, y),
        out * log(where(x == 0, 1.0, x)),
    ),
    domain=((0.2, 3.0), (-2.0, 2.0)),
    cost=60,
    arity=2,
)


def _power_slope(x, y):
    """y x^(y - 1), and 0 at the origin, where it is 0 times infinity."""
    origin = (x == 0) & (y == 0)
    return where(origin, 0.0, y * power(x, where(origin, 1.0, y - 1)))


remainder = Elementwise(
    "remainder",
    "x modulo y, with the sign of y.",
    numpy=np.remainder,
    scalar=lambda s, x, y: s.remainder(x, y),
    partials=lambda out, x, y: (1, -floor_divide(x, y)),
    domain=((0.1, 0.9), (1.0, 3.0)),
    kinds="if",
    cost=20,
    arity=2,
)
fmod = Elementwise(
    "fmod",
    "x modulo y, with the sign of x.",
    numpy=np.fmod,
    scalar=lambda s, x, y: s.fmod(x, y),
    partials=lambda out, x, y: (1, -trunc(x / y)),
    domain=((0.1, 0.9), (1.0, 3.0)),
    kinds="if",
    cost=20,
    arity=2,
)
floor_divide = Elementwise(
    "floor_divide",
    "The floor of x / y; the derivative is 0.",
    numpy=np.floor_divide,
    scalar=lambda s, x, y: s.floor_divide(x, y),
    domain=((0.1, 0.9), (1.0, 3.0)),
    kinds="if",
    cost=20,
    arity=2,
)
floor = Elementwise(
    "floor",
    "The largest integer not above x; the derivative is 0.",
    numpy=np.floor,
    scalar=lambda s, x: s.floor(x),
)
ceil = Elementwise(
    "ceil",
    "The smallest integer not below x; the derivative is 0.",
    numpy=np.ceil,
    scalar=lambda s, x: s.ceil(x),
)
trunc = Elementwise(
    "trunc",
    "x without its fraction; the derivative is 0.",
    numpy=np.trunc,
    scalar=lambda s, x: s.trunc(x),
)
rint = Elementwise(
    "rint",
    "The nearest integer, halves to even; the derivative is 0.",
    numpy=np.rint,
    scalar=lambda s, x: s.rint(x),
)
copysign = Elementwise(
    "copysign",
    "|x| with the sign of y.",
    numpy=np.copysign,
    scalar=lambda s, x, y: s.copysign(x, y),
    partials=lambda out, x, y: (sign(x) * copysign(1.0, y), None),
    arity=2,
)
hypot = Elementwise(
    "hypot",
    "The square root of x^2 + y^2; the derivative at the origin is 0.",
    numpy=np.hypot,
    scalar=lambda s, x, y: s.hypot(x, y),
    partials=lambda out, x, y: (
        x / where(out == 0, 1.0, out),
        y / where(out == 0, 1.0, out),
    ),
    domain=(0.2, 3.0),
    cost=20,
    arity=2,
)


def integer_power(x, n: int):
    """x to a constant integer power by repeated squaring; exact at every order."""
    if n < 0:
        return 1 / integer_power(x, -n)
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        x = x * x if n else x
    return result


from mgrad.primitives.elementary import log  # noqa: E402
