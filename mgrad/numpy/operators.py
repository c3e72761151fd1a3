"""The operators of traced arrays, with NumPy's rules for booleans and weak scalars."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mgrad.errors import DTypeError
from mgrad.expr import Expr, literal, make
from mgrad.numpy.arguments import fail, public
from mgrad.primitive import (
    Elementwise,
    as_expr,
    convert,
    full_like,
    is_weak,
    result_type,
)
from mgrad.primitives import arithmetic, logic

INT64 = np.dtype("int64")


@public(name="operator")
def operator(name: str, *operands: Any) -> Any:
    """`x + y` and its like; on Python numbers alone the result is such a number."""
    function = OPERATORS[name]
    if not all(map(is_weak, operands)):
        return function(*operands)
    if name in PROMOTES_BOOL:
        operands = tuple(map(_number, operands))
    return as_weak(function(*operands))


def as_weak(node: Expr) -> Expr:
    """The same operation as a Python number."""
    return (
        node if node.weak else make(node.primitive, node.args, node.params, weak=True)
    )


def _number(value: Any) -> Any:
    """Python's arithmetic takes True as 1."""
    if isinstance(value, Expr) and value.dtype.kind == "b":
        return as_weak(convert(value, INT64))
    return int(value) if isinstance(value, bool) else value


def _dtype(*operands: Any) -> np.dtype:
    return result_type(*operands)


def _on_booleans(
    name: str, primitive: Elementwise, boolean: Elementwise | None, advice: str = ""
) -> Callable[..., Any]:
    """An arithmetic operation whose boolean form is another one, or an error."""

    def function(*operands: Any) -> Expr:
        if _dtype(*operands).kind != "b":
            return primitive(*operands)
        if boolean is None:
            fail(DTypeError, name, f"not defined for booleans. {advice}")
        return boolean(*operands)

    function.__name__ = name
    return function


add = _on_booleans("add", arithmetic.add, logic.bitwise_or)
multiply = _on_booleans("multiply", arithmetic.multiply, logic.bitwise_and)
maximum = _on_booleans("maximum", arithmetic.maximum, logic.bitwise_or)
minimum = _on_booleans("minimum", arithmetic.minimum, logic.bitwise_and)
subtract = _on_booleans(
    "subtract",
    arithmetic.subtract,
    None,
    "Use x ^ y (exclusive or), or convert with x.astype(int).",
)
negative = _on_booleans(
    "negative", arithmetic.negative, None, "Use ~x for the opposite."
)
sign = _on_booleans("sign", arithmetic.sign, None, "Convert with x.astype(int).")


def positive(x: Any) -> Expr:
    """x itself."""
    node = as_expr(x)
    if node.dtype.kind == "b":
        fail(DTypeError, "positive", "not defined for booleans. Leave the + out.")
    return node


def absolute(x: Any) -> Expr:
    """|x|; booleans are their own."""
    node = as_expr(x)
    return node if node.dtype.kind == "b" else arithmetic.absolute(node)


def power(x: Any, y: Any) -> Expr:
    """x ** y; constant integer exponents multiply, which is exact at every order."""
    exponent = _static_number(y)
    dtype = result_type(x, y)
    if dtype.kind == "b":
        dtype = INT64
    if dtype.kind == "i":
        return _integer_base(x, y, exponent, dtype)
    if exponent is not None:
        base = as_expr(x, dtype)
        if exponent == 0.5:
            return arithmetic.sqrt(base)
        if exponent == 0:
            return full_like(base, 1)
        if float(exponent).is_integer() and abs(exponent) <= MAX_UNROLLED:
            return arithmetic.integer_power(base, int(exponent))
    return arithmetic.power(x, y)


MAX_UNROLLED = 16


def _static_number(value: Any) -> Any:
    """The number of a scalar constant, or None."""
    if isinstance(value, Expr):
        value = literal(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, int, float, np.number)):
        return value if not isinstance(value, np.complexfloating) else None
    return None


def _integer_base(x: Any, y: Any, exponent: Any, dtype: np.dtype) -> Expr:
    base = x if is_weak(x) else as_expr(x, dtype)
    if exponent is None:
        concrete = y if isinstance(y, np.ndarray) else None
        return _integer_powers(as_expr(x, dtype), as_expr(y, dtype), concrete)
    if exponent < 0:
        if is_weak(x) and is_weak(y):
            return arithmetic.integer_power(base, int(exponent))
        fail(
            DTypeError,
            "power",
            f"integers to negative integer powers ({exponent}) are not integers. "
            "Convert the base to floating point first, for example x.astype(float).",
        )
    if exponent == 0:
        return full_like(as_expr(base), 1)
    return arithmetic.integer_power(as_expr(base), int(exponent))


def _integer_powers(x: Expr, y: Expr, concrete: np.ndarray | None) -> Expr:
    """x to integer exponents by squaring, over the bits that the exponents can have."""
    if concrete is not None and concrete.size and concrete.min() < 0:
        fail(DTypeError, "power", "integers to negative powers; use x.astype(float).")
    if concrete is None:
        fail(
            DTypeError,
            "power",
            "an integer base with a traced integer exponent would give fractions for "
            "negative ones. Convert one to floating point, such as x.astype(float).",
        )
    bits = int(concrete.max()).bit_length() if concrete.size else 0
    result, square = x * 0 + y * 0 + 1, x
    for bit in range(bits):
        odd = (y // (1 << bit)) % 2 == 1
        result = logic.where(odd, result * square, result)
        square = square * square
    return result


def matmul(x: Any, y: Any) -> Any:
    """x @ y."""
    from mgrad.numpy.contraction import matmul as product

    return product(x, y)


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": arithmetic.divide,
    "floor_divide": arithmetic.floor_divide,
    "remainder": arithmetic.remainder,
    "power": power,
    "matmul": matmul,
    "bitwise_and": logic.bitwise_and,
    "bitwise_or": logic.bitwise_or,
    "bitwise_xor": logic.bitwise_xor,
    "invert": logic.invert,
    "less": logic.less,
    "less_equal": logic.less_equal,
    "greater": logic.greater,
    "greater_equal": logic.greater_equal,
    "equal": logic.equal,
    "not_equal": logic.not_equal,
    "negative": negative,
    "positive": positive,
    "absolute": absolute,
}
PROMOTES_BOOL = frozenset(
    "add subtract multiply divide floor_divide remainder power negative positive "
    "absolute invert".split()
)
