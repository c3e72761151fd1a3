"""The universal functions of NumPy and SciPy, element by element."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

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


def ufunc(
    *numpy_ufuncs: Any, name: str | None = None, arity: int = 1
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an elementwise function with the keywords that every ufunc has."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        label = name or function.__name__

        def call(
            *operands: Any, dtype: Any = None, where: Any = True, **rest: Any
        ) -> Any:
            if len(operands) != arity:
                out = operands[arity] if len(operands) > arity else None
                refuse_out(out, label)
                fail(
                    ArgumentError,
                    label,
                    f"takes {arity} operands, got {len(operands)}.",
                )
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
        return function(
            first.reshape(*first.shape, *(1,) * second.ndim), second, **kwargs
        )

    return outer


def _register_primitives() -> dict[str, Callable[..., Any]]:
    """The ufuncs that are a primitive of the same meaning."""
    unary = {
        "exp": elementary.exp,
        "exp2": elementary.exp2,
        "expm1": elementary.expm1,
        "log": elementary.log,
        "log2": elementary.log2,
        "log10": elementary.log10,
        "log1p": elementary.log1p,
        "sin": elementary.sin,
        "cos": elementary.cos,
        "tan": elementary.tan,
        "arcsin": elementary.arcsin,
        "arccos": elementary.arccos,
        "arctan": elementary.arctan,
        "sinh": elementary.sinh,
        "cosh": elementary.cosh,
        "tanh": elementary.tanh,
        "arcsinh": elementary.arcsinh,
        "arccosh": elementary.arccosh,
        "arctanh": elementary.arctanh,
        "sqrt": arithmetic.sqrt,
        "cbrt": arithmetic.cbrt,
        "rint": arithmetic.rint,
        "sign": operators.sign,
        "negative": operators.negative,
        "positive": operators.positive,
        "absolute": operators.absolute,
        "invert": logic.invert,
        "isnan": logic.isnan,
        "isfinite": logic.isfinite,
        "isinf": logic.isinf,
        "signbit": logic.signbit,
    }
    binary = {
        "add": operators.add,
        "subtract": operators.subtract,
        "multiply": operators.multiply,
        "divide": arithmetic.divide,
        "floor_divide": arithmetic.floor_divide,
        "remainder": arithmetic.remainder,
        "fmod": arithmetic.fmod,
        "power": operators.power,
        "maximum": operators.maximum,
        "minimum": operators.minimum,
        "copysign": arithmetic.copysign,
        "hypot": arithmetic.hypot,
        "arctan2": elementary.arctan2,
        "logaddexp": elementary.logaddexp,
        "equal": logic.equal,
        "not_equal": logic.not_equal,
        "less": logic.less,
        "less_equal": logic.less_equal,
        "greater": logic.greater,
        "greater_equal": logic.greater_equal,
        "bitwise_and": logic.bitwise_and,
        "bitwise_or": logic.bitwise_or,
        "bitwise_xor": logic.bitwise_xor,
    }
    table = {n: _register(n, f, 1) for n, f in unary.items()}
    return table | {n: _register(n, f, 2) for n, f in binary.items()}


def _register(name: str, function: Any, arity: int) -> Callable[..., Any]:
    return ufunc(getattr(np, name), name=name, arity=arity)(function)


PRIMITIVE_UFUNCS = _register_primitives()


def _rounding(name: str, primitive: Any) -> Callable[..., Any]:
    """Integers and booleans are their own floor."""

    def function(x: Any) -> Expr:
        node = as_expr(x)
        return primitive(node) if node.dtype.kind == "f" else node

    function.__doc__ = primitive.__doc__
    return ufunc(getattr(np, name), name=name)(function)


floor = _rounding("floor", arithmetic.floor)
ceil = _rounding("ceil", arithmetic.ceil)
trunc = _rounding("trunc", arithmetic.trunc)


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


def _shift(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def shift(x: Any, n: Any) -> Expr:
        if isinstance(n, Expr) and operators._static_number(n) is None:
            fail(
                DTypeError,
                name,
                "the number of bits must be a constant, got a traced one.",
            )
        amount = operators._static_number(n)
        factors = 1 << int(amount) if amount is not None else np.left_shift(1, n)
        return function(x, factors)

    shift.__doc__ = f"As `numpy.{name}`, by a constant number of bits."
    return ufunc(getattr(np, name), name=name, arity=2)(shift)


left_shift = _shift("left_shift", arithmetic.multiply)
right_shift = _shift("right_shift", arithmetic.floor_divide)


@ufunc(np.conjugate)
def conjugate(x: Any) -> Expr:
    """x itself: values are real."""
    return as_expr(x)


ALIASES = {
    "abs": "absolute",
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "pow": "power",
    "true_divide": "divide",
    "mod": "remainder",
    "conj": "conjugate",
    "bitwise_invert": "invert",
    "bitwise_not": "invert",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
    "degrees": "rad2deg",
    "radians": "deg2rad",
}


def _register_aliases() -> None:
    from mgrad.protocols import NAMESPACE

    for alias, name in ALIASES.items():
        NAMESPACE[alias] = NAMESPACE[name]
        if hasattr(np, alias):
            FUNCTIONS[getattr(np, alias)] = NAMESPACE[name]


_register_aliases()
for _name in ("log1p", "expm1", "cbrt", "exp2"):
    FUNCTIONS[_name] = PRIMITIVE_UFUNCS[_name]  # as scipy.special has them
