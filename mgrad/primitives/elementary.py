"""Exponential, logarithmic, trigonometric, hyperbolic and error functions."""

# mypy: disable-error-code="has-type,no-untyped-call,no-untyped-def"
# (declarations refer to one another, their rules are equations)

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from mgrad.primitive import Elementwise
from mgrad.primitives.logic import isinf, where


def _scipy(name: str) -> Callable[..., Any]:
    """A function of `scipy.special`, imported at first use: it costs 0.2 s."""
    return lambda *arrays: getattr(import_module("scipy.special"), name)(*arrays)


exp = Elementwise(
    "exp",
    "e to the power x.",
    numpy=np.exp,
    scalar=lambda s, x: s.exp(x),
    partials=lambda out, x: (out,),
    cost=14,
)
exp2 = Elementwise(
    "exp2",
    "2 to the power x.",
    numpy=np.exp2,
    scalar=lambda s, x: s.exp2(x),
    partials=lambda out, x: (math.log(2) * out,),
    cost=14,
)
expm1 = Elementwise(
    "expm1",
    "exp(x) - 1, accurate near 0.",
    numpy=np.expm1,
    scalar=lambda s, x: s.expm1(x),
    partials=lambda out, x: (out + 1,),
    cost=18,
)
log = Elementwise(
    "log",
    "The natural logarithm.",
    numpy=np.log,
    scalar=lambda s, x: s.log(x),
    partials=lambda out, x: (1 / x,),
    domain=(0.1, 4.0),
    cost=16,
)
log2 = Elementwise(
    "log2",
    "The logarithm to base 2.",
    numpy=np.log2,
    scalar=lambda s, x: s.log2(x),
    partials=lambda out, x: (1 / (math.log(2) * x),),
    domain=(0.1, 4.0),
    cost=18,
)
log10 = Elementwise(
    "log10",
    "The logarithm to base 10.",
    numpy=np.log10,
    scalar=lambda s, x: s.log10(x),
    partials=lambda out, x: (1 / (math.log(10) * x),),
    domain=(0.1, 4.0),
    cost=18,
)
log1p = Elementwise(
    "log1p",
    "log(1 + x), accurate near 0.",
    numpy=np.log1p,
    scalar=lambda s, x: s.log1p(x),
    partials=lambda out, x: (1 / (1 + x),),
    domain=(-0.8, 3.0),
    cost=20,
)
sin = Elementwise(
    "sin",
    "The sine of x (radians).",
    numpy=np.sin,
    scalar=lambda s, x: s.sin(x),
    partials=lambda out, x: (cos(x),),
    cost=20,
)
cos = Elementwise(
    "cos",
    "The cosine of x (radians).",
    numpy=np.cos,
    scalar=lambda s, x: s.cos(x),
    partials=lambda out, x: (-sin(x),),
    cost=20,
)
tan = Elementwise(
    "tan",
    "The tangent of x (radians).",
    numpy=np.tan,
    scalar=lambda s, x: s.tan(x),
    partials=lambda out, x: (1 + out * out,),
    domain=(-1.2, 1.2),
    cost=30,
)
arcsin = Elementwise(
    "arcsin",
    "The angle in [-pi/2, pi/2] whose sine is x.",
    numpy=np.arcsin,
    scalar=lambda s, x: s.asin(x),
    partials=lambda out, x: (1 / sqrt((1 - x) * (1 + x)),),
    domain=(-0.9, 0.9),
    cost=40,
)
arccos = Elementwise(
    "arccos",
    "The angle in [0, pi] whose cosine is x.",
    numpy=np.arccos,
    scalar=lambda s, x: s.acos(x),
    partials=lambda out, x: (-1 / sqrt((1 - x) * (1 + x)),),
    domain=(-0.9, 0.9),
    cost=40,
)
arctan = Elementwise(
    "arctan",
    "The angle in [-pi/2, pi/2] whose tangent is x.",
    numpy=np.arctan,
    scalar=lambda s, x: s.atan(x),
    partials=lambda out, x: (1 / (1 + x * x),),
    cost=40,
)
arctan2 = Elementwise(
    "arctan2",
    "The angle of the point (y, x); the derivative at the origin is 0.",
    numpy=np.arctan2,
    scalar=lambda s, y, x: s.atan2(y, x),
    partials=lambda out, y, x: (
        x / _nonzero(x * x + y * y),
        -y / _nonzero(x * x + y * y),
    ),
    domain=(0.2, 3.0),
    cost=60,
    arity=2,
)


def _nonzero(x):
    return where(x == 0, 1.0, x)


sinh = Elementwise(
    "sinh",
    "The hyperbolic sine.",
    numpy=np.sinh,
    scalar=lambda s, x: s.sinh(x),
    partials=lambda out, x: (cosh(x),),
    cost=30,
)
cosh = Elementwise(
    "cosh",
    "The hyperbolic cosine.",
    numpy=np.cosh,
    scalar=lambda s, x: s.cosh(x),
    partials=lambda out, x: (sinh(x),),
    cost=30,
)
tanh = Elementwise(
    "tanh",
    "The hyperbolic tangent.",
    numpy=np.tanh,
    scalar=lambda s, x: s.tanh(x),
    partials=lambda out, x: (1 - out * out,),
    cost=20,
)
arcsinh = Elementwise(
    "arcsinh",
    "The inverse of sinh.",
    numpy=np.arcsinh,
    scalar=lambda s, x: s.asinh(x),
    partials=lambda out, x: (1 / sqrt(x * x + 1),),
    cost=50,
)
arccosh = Elementwise(
    "arccosh",
    "The inverse of cosh, for x >= 1.",
    numpy=np.arccosh,
    scalar=lambda s, x: s.acosh(x),
    partials=lambda out, x: (1 / sqrt((x - 1) * (x + 1)),),
    domain=(1.2, 4.0),
    cost=50,
)
arctanh = Elementwise(
    "arctanh",
    "The inverse of tanh, for |x| < 1.",
    numpy=np.arctanh,
    scalar=lambda s, x: s.atanh(x),
    partials=lambda out, x: (1 / ((1 - x) * (1 + x)),),
    domain=(-0.9, 0.9),
    cost=50,
)
logaddexp = Elementwise(
    "logaddexp",
    "log(exp(x) + exp(y)) without overflow.",
    numpy=np.logaddexp,
    scalar=lambda s, x, y: s.select(
        s.eq(x, y),
        s.add(x, s.constant(math.log(2), x)),
        s.add(s.max(x, y), s.log1p(s.exp(s.neg(s.abs(s.sub(x, y)))))),
    ),
    partials=lambda out, x, y: (_softmax_of_two(x, y), _softmax_of_two(y, x)),
    cost=40,
    arity=2,
)


def _softmax_of_two(x, y):
    # equal infinities alone: a constant at all x == y would have no derivative there
    return sigmoid(where((x == y) & isinf(x), 0.0, x - y))


sigmoid = Elementwise(
    "sigmoid",
    "1 / (1 + exp(-x)).",
    numpy=_scipy("expit"),
    scalar=lambda s, x: s.sigmoid(x),
    partials=lambda out, x: (out * (1 - out),),
    cost=18,
)
erf = Elementwise(
    "erf",
    "The error function.",
    numpy=_scipy("erf"),
    scalar=lambda s, x: s.erf(x),
    partials=lambda out, x: (2 / math.sqrt(math.pi) * exp(-x * x),),
    cost=30,
)
erfc = Elementwise(
    "erfc",
    "1 - erf(x), accurate for large x.",
    numpy=_scipy("erfc"),
    scalar=lambda s, x: s.erfc(x),
    partials=lambda out, x: (-2 / math.sqrt(math.pi) * exp(-x * x),),
    cost=50,
)

from mgrad.primitives.arithmetic import sqrt  # noqa: E402
