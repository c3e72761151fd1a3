"""Arguments made canonical at the border: axes, sizes, dtypes; and how they fail."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from mgrad.errors import (
    ArgumentError,
    AxisError,
    ItemAssignmentError,
    MgradError,
    ShapeError,
    UnsupportedError,
)
from mgrad.expr import Expr, Shape, format_source, user_line
from mgrad.primitive import as_expr, concrete_array
from mgrad.protocols import implements

Function = TypeVar("Function", bound=Callable[..., Any])
Axis = int | Sequence[int] | None


def public(
    *numpy_functions: Any, name: str | None = None
) -> Callable[[Function], Function]:
    """`implements`, with every misuse reported as an `mgrad.errors` class."""

    def register(function: Function) -> Function:
        label = name or function.__name__

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except MgradError:
                raise
            except (TypeError, ValueError, LookupError, OverflowError) as error:
                raise ArgumentError(
                    f"{label} at {format_source(user_line())}: {error}. "
                    f"Its arguments are those of numpy.{label}."
                ) from error

        known = (f for f in numpy_functions if f is not None)  # newer than this NumPy
        implements(*known, name=label)(guarded)
        return cast(Function, guarded)

    return register


def fail(error: type[MgradError], function: str, message: str) -> NoReturn:
    """Raise `error`, naming the function and the user's line."""
    raise error(f"{function} at {format_source(user_line())}: {message}")


def refuse_out(out: Any, function: str) -> None:
    """`out=` given by position."""
    if out is not None:
        fail(
            ItemAssignmentError,
            function,
            "out= writes into an array, and traced values are immutable. "
            "Use the returned value instead.",
        )


def refuse_option(function: str, option: str, advice: str) -> NoReturn:
    """An option that is not traced."""
    fail(
        UnsupportedError,
        function,
        f"{option} is not supported on traced values. {advice}",
    )


def as_node(value: Any) -> Expr:
    """A node for anything that `np.asarray` takes."""
    if isinstance(value, (Expr, bool, int, float, np.generic, np.ndarray, list, tuple)):
        return as_expr(value)
    if isinstance(value, range) or hasattr(value, "__array__"):
        return as_expr(concrete_array(value))
    return as_expr(value)


def canonical_axis(axis: Any, ndim: int, function: str) -> int:
    """One axis in [0, ndim)."""
    number = operator.index(axis)
    if not -ndim <= number < ndim:
        fail(
            AxisError,
            function,
            f"axis {number} is out of bounds for an array with {ndim} axes. "
            + (
                f"Give an axis from {-ndim} to {ndim - 1}."
                if ndim
                else "It has no axis."
            ),
        )
    return number % ndim


def canonical_axes(axis: Axis | Any, ndim: int, function: str) -> tuple[int, ...]:
    """Axes in [0, ndim), in the order given; None is all of them."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (canonical_axis(axis, ndim, function),)
    axes = tuple(canonical_axis(a, ndim, function) for a in axis)
    if len(set(axes)) != len(axes):
        fail(AxisError, function, f"an axis stands twice in {tuple(axis)}.")
    return axes


def canonical_shape(shape: Any, function: str) -> Shape:
    """A tuple of Python ints; -1 passes."""
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    if not isinstance(shape, (tuple, list)):
        return (operator.index(shape),)
    extents = tuple(operator.index(n) for n in shape)
    if any(n < -1 for n in extents):
        fail(ShapeError, function, f"negative extents are not allowed, got {extents}.")
    return extents


def common_nodes(function: str, values: Any) -> list[Expr]:
    """The operands of a joining function: a sequence, or one array along axis 0."""
    if isinstance(values, Expr):
        if values.ndim == 0:
            fail(ShapeError, function, "expected a sequence of arrays, got one scalar.")
        return [values[i] for i in range(len(values))]
    nodes = [as_node(v) for v in values]
    if not nodes:
        fail(ShapeError, function, "expected at least one array, got none.")
    return nodes
