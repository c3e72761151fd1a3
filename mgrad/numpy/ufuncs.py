"""The universal functions of NumPy and SciPy, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from mgrad.errors import ArgumentError, DTypeError
from mgrad.expr import Expr
from mgrad.numpy import operators
from mgrad.numpy.arguments import as_node, fail, public, refuse_option, refuse_out
from mgrad.primitive import as_expr, convert, result_type
from mgrad.primitives import arithmetic, elementary, logic
from mgrad.primitives.logic import where
from mgrad.protocols import FUNCTIONS

FLOAT64 = np.dtype("float64")
INERT_OPTIONS = frozenset({"casting", "order", "subok"})


def ufunc(*numpy_ufuncs: Any, name: str | None = None, arity: int = 1) -> Any:
    """Register an elementwise function with the keywords that every ufunc has."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        label = name or function.__name__

        def call(*operands: Any, dtype: Any = None, where: Any = True, **rest: Any) -> Any:
            if len(operands) != arity:
                out = operands[arity] if len(operands) > arity else None
                refuse_out(out, label)
                fail(ArgumentError, label, f"takes {arity} operands, got {len(operands)}.")
            _check_options(label, where, rest)
            nodes = [v if _is_scalar(v) else as_node(v) for v in operands]
            if dtype is not None:
                nodes = [convert(as_expr(v), dtype) for v in nodes]
            return function(*nodes)

        call.__name__ = call.__qualname__ = label
        call.__doc__ = function.__doc__ or f"As `numpy.{label}`."
        guarded = public(*numpy_ufuncs, name=label)(call)
        if arity == 2:
            for numpy_ufunc in numpy_ufuncs:
                FUNCTIONS[(numpy_ufunc, "outer")] = _outer(guarded)
        return guarded

    return register


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float, Expr))


def _check_options(label: str, where: Any, rest: dict[str, Any]) -> None:
    if where is not True:
        refuse_option(label, "where=", "Use np.where(condition, f(x), otherwise).")
    rest.pop("out", None)
    unknown = set(rest) - INERT_OPTIONS
    if unknown:
        refuse_option(label, f"{min(unknown)}=", "Leave it out.")


def _outer(function: Callable[..., Any]) -> Callable[..., Any]:
    def outer(x: Any, y: Any, **kwargs: Any) -> Any:
        first, second = as_node(x), as_node(y)
        return function(first.reshape(*first.shape, *(1,) * second.ndim), second, **kwargs)

    return outer


def _register_primitives() -> dict[str, Callable[..., Any]]:
    """The ufuncs that are a primitive of the same meaning."""
    unary = {
        "exp": elementary.exp, "exp2": elementary.exp2, "expm1": elementary.expm1,
        "log": elementary.log, "log2": elementary.log2, "log10": elementary.log10,
        "log1p": elementary.log1p, "sin": elementary.sin, "cos": elementary.cos,
        "tan": elementary.tan, "arcsin": elementary.arcsin, "arccos": elementary.arccos,
        "arctan": elementary.arctan, "sinh": elementary.sinh, "cosh": elementary.cosh,
        "tanh": elementary.tanh, "arcsinh": elementary.arcsinh,
        "arccosh": elementary.arccosh, "arctanh": elementary.arctanh,
        "sqrt": arithmetic.sqrt, "cbrt": arithmetic.cbrt, "rint": arithmetic.rint,
        "sign": operators.sign, "negative": operators.negative,
        "positive": operators.positive, "absolute": operators.absolute,
        "invert": logic.invert, "isnan": logic.isnan, "isfinite": logic.isfinite,
        "isinf": logic.isinf, "signbit": logic.signbit,
    }
    binary = {
        "add": operators.add, "subtract": operators.subtract,
        "multiply": operators.multiply, "divide": arithmetic.divide,
        "floor_divide": arithmetic.floor_divide, "remainder": arithmetic.remainder,
        "fmod": arithmetic.fmod, "power": operators.power,
        "maximum": operators.maximum, "minimum": operators.minimum,
        "copysign": arithmetic.copysign, "hypot": arithmetic.hypot,
        "arctan2": elementary.arctan2, "logaddexp": elementary.logaddexp,
        "equal": logic.equal, "not_equal": logic.not_equal, "less": logic.less,
        "less_equal": logic.less_equal, "greater": logic.greater,
        "greater_equal": logic.greater_equal, "bitwise_and": logic.bitwise_and,
        "bitwise_or": logic.bitwise_or, "bitwise_xor": logic.bitwise_xor,
    }
    table = {n: _register(n, f, 1) for n, f in unary.items()}
    return table | {n: _register(n, f, 2) for n, f in binary.items()}


def _register(name: str, function: Any, arity: int) -> Callable[..., Any]:
    registered: Callable[..., Any] = ufunc(getattr(np, name), name=name, arity=arity)(
        function
    )
    return registered


PRIMITIVE_UFUNCS = _register_primitives()


def _rounding(name: str, primitive: Any) -> Callable[..., Any]:
    """Integers and booleans are their own floor."""

    def function(x: Any) -> Expr:
        node = as_expr(x)
        return primitive(node) if node.dtype.kind == "f" else node

    function.__doc__ = primitive.__doc__
    registered: Callable[..., Any] = ufunc(getattr(np, name), name=name)(function)
    return registered


floor = _rounding("floor", arithmetic.floor)
ceil = _rounding("ceil", arithmetic.ceil)
trunc = _rounding("trunc", arithmetic.trunc)


@public(np.fix)
def fix(x: Any, out: Any = None) -> Expr:
    """x rounded towards 0."""
    refuse_out(out, "fix")
    return trunc(x)  # type: ignore[no-any-return]


@ufunc(np.square)
def square(x: Any) -> Expr:
    """x squared."""
    node = as_expr(x)
    return arithmetic.multiply(node, node)


@ufunc(np.reciprocal)
def reciprocal(x: Any) -> Expr:
    """1 / x; of integers its integer part."""
    node = as_expr(x)
    if node.dtype.kind == "f":
        return arithmetic.divide(1, node)
    return where(arithmetic.absolute(node) == 1, node, 0)


@ufunc(np.fabs)
def fabs(x: Any) -> Expr:
    """|x| as a floating-point number."""
    return arithmetic.absolute(as_floating(as_expr(x)))


def as_floating(node: Expr) -> Expr:
    """Integers and booleans as float64."""
    return node if node.dtype.kind == "f" else convert(node, FLOAT64)


@ufunc(np.deg2rad)
def deg2rad(x: Any) -> Expr:
    """Degrees to radians."""
    return as_floating(as_expr(x)) * (math.pi / 180)


@ufunc(np.rad2deg)
def rad2deg(x: Any) -> Expr:
    """Radians to degrees."""
    return as_floating(as_expr(x)) * (180 / math.pi)


def truth(x: Any) -> Expr:
    """x != 0."""
    node = as_expr(x)
    return node if node.dtype.kind == "b" else logic.not_equal(node, 0)


@ufunc(np.logical_and, arity=2)
def logical_and(x: Any, y: Any) -> Expr:
    """Whether both are nonzero."""
    return logic.bitwise_and(truth(x), truth(y))


@ufunc(np.logical_or, arity=2)
def logical_or(x: Any, y: Any) -> Expr:
    """Whether either is nonzero."""
    return logic.bitwise_or(truth(x), truth(y))


@ufunc(np.logical_xor, arity=2)
def logical_xor(x: Any, y: Any) -> Expr:
    """Whether exactly one is nonzero."""
    return logic.bitwise_xor(truth(x), truth(y))


@ufunc(np.logical_not)
def logical_not(x: Any) -> Expr:
    """Whether x is zero."""
    return logic.invert(truth(x))


@ufunc(np.float_power, arity=2)
def float_power(x: Any, y: Any) -> Expr:
    """x ** y in float64."""
    return operators.power(as_expr(x, FLOAT64), as_expr(y, FLOAT64))


@ufunc(np.fmax, arity=2)
def fmax(x: Any, y: Any) -> Expr:
    """The larger, where a NaN counts as missing."""
    return _ignoring_nan(operators.maximum, x, y)


@ufunc(np.fmin, arity=2)
def fmin(x: Any, y: Any) -> Expr:
    """The smaller, where a NaN counts as missing."""
    return _ignoring_nan(operators.minimum, x, y)


def _ignoring_nan(function: Callable[..., Any], x: Any, y: Any) -> Any:
    dtype = result_type(x, y)
    if dtype.kind != "f":
        return function(x, y)
    x, y = as_expr(x, dtype), as_expr(y, dtype)
    return where(logic.isnan(x), y, where(logic.isnan(y), x, function(x, y)))


@ufunc(np.heaviside, arity=2)
def heaviside(x: Any, h: Any) -> Expr:
    """0 below 0, 1 above, h at 0."""
    x = as_floating(as_expr(x))
    step = where(x < 0, 0.0, where(x > 0, 1.0, x))
    return where(x == 0, h, step)


@ufunc(np.logaddexp2, arity=2)
def logaddexp2(x: Any, y: Any) -> Expr:
    """log2(2**x + 2**y) without overflow."""
    dtype = as_floating_dtype(result_type(x, y))
    ln2 = math.log(2)
    return elementary.logaddexp(as_expr(x, dtype) * ln2, as_expr(y, dtype) * ln2) / ln2


def as_floating_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype if it is floating-point, else float64."""
    return dtype if dtype.kind == "f" else FLOAT64


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


def _shift(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def shift(x: Any, n: Any) -> Expr:
        if isinstance(n, Expr) and operators._static_number(n) is None:
            fail(DTypeError, name, "the number of bits must be a constant, got a traced one.")
        amount = operators._static_number(n)
        factors = 1 << int(amount) if amount is not None else np.left_shift(1, n)
        return function(x, factors)  # type: ignore[no-any-return]

    shift.__doc__ = f"As `numpy.{name}`, by a constant number of bits."
    registered: Callable[..., Any] = ufunc(getattr(np, name), name=name, arity=2)(shift)
    return registered


left_shift = _shift("left_shift", arithmetic.multiply)
right_shift = _shift("right_shift", arithmetic.floor_divide)


@ufunc(np.conjugate)
def conjugate(x: Any) -> Expr:
    """x itself: values are real."""
    return as_expr(x)


# --- functions of NumPy that are not ufuncs, yet elementwise ------------------------


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
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *,
    min: Any = _MISSING, max: Any = _MISSING, **kwargs: Any,
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


@public(np.round, np.around, name="round")
def round_(a: Any, decimals: int = 0, out: Any = None) -> Expr:
    """The nearest number with so many decimals, halves to even; the derivative is 0."""
    refuse_out(out, "round")
    node = as_node(a)
    if node.dtype.kind != "f":
        if decimals >= 0:
            return as_floating(node) if node.dtype.kind == "b" else node
        tens = 10**-decimals
        return convert(arithmetic.rint(arithmetic.divide(node, tens)) * tens, node.dtype)
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


ALIASES = {
    "abs": "absolute", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin",
    "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2", "atanh": "arctanh",
    "pow": "power", "true_divide": "divide", "mod": "remainder", "conj": "conjugate",
    "bitwise_invert": "invert", "bitwise_not": "invert", "around": "round",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift",
    "degrees": "rad2deg", "radians": "deg2rad",
}


def _register_aliases() -> None:
    from mgrad.protocols import NAMESPACE

    for alias, name in ALIASES.items():
        NAMESPACE[alias] = NAMESPACE[name]
        if hasattr(np, alias):
            FUNCTIONS[getattr(np, alias)] = NAMESPACE[name]


_register_aliases()
FUNCTIONS[scipy.special.log1p] = PRIMITIVE_UFUNCS["log1p"]
FUNCTIONS[scipy.special.expm1] = PRIMITIVE_UFUNCS["expm1"]
FUNCTIONS[scipy.special.cbrt] = PRIMITIVE_UFUNCS["cbrt"]
FUNCTIONS[scipy.special.exp2] = PRIMITIVE_UFUNCS["exp2"]
