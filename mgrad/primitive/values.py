"""Values that become nodes: conversion, promotion, broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.errors import DTypeError, ShapeError
from mgrad.expr import (
    Expr,
    Shape,
    captured,
    check_dtype,
    constant,
    format_source,
    literal,
    make,
    user_line,
)
from mgrad.graph import origin
from mgrad.primitive.base import REGISTRY
from mgrad.protocols import NAMESPACE


def is_traced(value: Any) -> bool:
    """An Expr, or a list or tuple with one inside."""
    if isinstance(value, (list, tuple)):
        return any(map(is_traced, value))
    return isinstance(value, Expr)


def as_expr(value: Any, dtype: np.dtype | None = None) -> Expr:
    """A node for an array, number or (nested) list, converted to `dtype` if given."""
    if isinstance(value, Expr):
        node = value
    elif isinstance(value, (bool, int, float, np.generic)):
        return constant(value, dtype)
    elif isinstance(value, np.ndarray):
        if type(value) is not np.ndarray:
            check_array_class(value)
        node = captured(value)
    elif isinstance(value, (list, tuple)):
        if is_traced(value):
            node = NAMESPACE["stack"]([as_expr(v) for v in value])
        else:
            node = captured(concrete_array(value))
    else:
        advice = (
            "Compute with the real and the imaginary part as two arrays."
            if isinstance(value, complex)
            else "Convert it with np.asarray(x, dtype=...) first."
        )
        raise DTypeError(
            f"expected an array or a number at {format_source(user_line())}, got "
            f"{type(value).__name__}. {advice}"
        )
    return node if dtype is None or node.dtype == dtype else convert(node, dtype)


def check_array_class(array: np.ndarray) -> None:
    """Refuse arrays whose operators mean something else than NumPy's."""
    if isinstance(array, (np.ma.MaskedArray, np.matrix)):
        raise DTypeError(
            f"expected an array at {format_source(user_line())}, got "
            f"{refused_array(array)}"
        )


def refused_array(array: Any) -> str:
    """What is wrong with a masked array or a matrix."""
    if isinstance(array, np.ma.MaskedArray):
        return (
            "a masked array, whose mask would be lost. Pass np.asarray(x.filled(0)) "
            "and the mask as another argument, and choose with np.where or where=."
        )
    return (
        "a numpy.matrix, whose * is the product of matrices. Pass np.asarray(x), and "
        "write @ for that product."
    )


def concrete_array(value: Any) -> np.ndarray:
    """`np.asarray` whose complaint about ragged lists is ours."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            f"expected a rectangular array at {format_source(user_line())}, got a "
            f"ragged nested list ({error}). Pad the rows to one length, or keep them "
            "as separate arrays in a pytree."
        ) from None
    check_dtype(array.dtype)
    return array


def convert(node: Expr, dtype: Any) -> Expr:
    """`node` as another dtype."""
    target = check_dtype(dtype)
    value = literal(node)
    if value is not None:
        return constant(value, target)
    if node.dtype == target:
        return node
    return make(REGISTRY["convert"], (node,), (target.name,))


_WEAK = {"b": False, "i": 0, "f": 0.0}


def promotion_operand(value: Any) -> Any:
    """What stands for a value in `np.result_type`: Python scalars stay weak."""
    if isinstance(value, Expr):
        return _WEAK[value.dtype.kind] if value.weak else value.dtype
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype
    return as_expr(value).dtype


def result_type(*values: Any) -> np.dtype:
    """NumPy's promotion (NEP 50)."""
    first = values[0]
    if all(
        isinstance(v, Expr) and not v.weak and v.dtype is first.dtype for v in values
    ):
        return first.dtype  # type: ignore[no-any-return]
    operands = [promotion_operand(v) for v in values]
    try:
        found = np.result_type(*operands)
    except (TypeError, OverflowError) as error:
        raise DTypeError(f"{error}, at {format_source(user_line())}") from None
    return check_dtype(found)


def is_weak(value: Any) -> bool:
    """A Python number, or a node that stands for one."""
    if isinstance(value, Expr):
        return value.weak
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def shape_of(value: Any) -> Shape:
    """The shape of a node, array or number."""
    return value.shape if isinstance(value, (Expr, np.ndarray)) else np.shape(value)


def broadcast_shapes(name: str, nodes: Sequence[Expr]) -> Shape:
    """The common shape of operands, or an error that names them and their lines."""
    first = nodes[0].shape
    if all(node.shape == first for node in nodes):
        return first
    try:
        return np.broadcast_shapes(*(node.shape for node in nodes))
    except ValueError:
        operands = " and ".join(origin(n) for n in nodes if n.shape != ())
        raise ShapeError(
            f"{name} at {format_source(user_line())}: the operands do not broadcast: "
            f"{operands}. Extents must be equal or 1 from the last axis on; insert an "
            "axis with x[:, None] or reshape one of them."
        ) from None


def broadcast_to(node: Expr, shape: Shape) -> Expr:
    """`node` repeated to `shape`; the only way operands come to equal shapes."""
    if node.shape == shape:
        return node
    return make(REGISTRY["broadcast_to"], (node,), (shape,))


def full_like(node: Expr, value: float, dtype: np.dtype | None = None) -> Expr:
    """A constant of the shape (and dtype) of `node`."""
    return broadcast_to(constant(value, dtype or node.dtype), node.shape)


def batch_broadcast(arg: Expr, size: int) -> Expr:
    """An operand without batch axis, repeated along a new axis 0."""
    return broadcast_to(arg, (size, *arg.shape))


def batch_size(args: Sequence[Expr], batched: Sequence[bool]) -> int:
    """The extent of the batch axis."""
    return next(
        a.shape[0] for a, is_batched in zip(args, batched, strict=True) if is_batched
    )
