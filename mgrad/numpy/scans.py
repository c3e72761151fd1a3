"""Differences of neighbours, and results of all prefixes."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr
from mgrad.graph import origin
from mgrad.numpy.arguments import (
    Axis,
    as_node,
    canonical_axes,
    canonical_axis,
    fail,
    public,
    refuse_option,
    refuse_out,
)
from mgrad.numpy.joining import joined, section
from mgrad.numpy.operators import maximum, minimum
from mgrad.numpy.reductions import summed
from mgrad.numpy.ufuncs import as_floating, truth
from mgrad.primitive import as_expr, broadcast_to, convert
from mgrad.primitives import logic, reduction
from mgrad.primitives.movement import reshape_to
from mgrad.protocols import FUNCTIONS

INT64 = np.dtype("int64")

# --- differences ----------------------------------------------------------------


@public(np.diff)
def diff(
    a: Any,
    n: int = 1,
    axis: int = -1,
    prepend: Any = np._NoValue,
    append: Any = np._NoValue,
) -> Expr:
    """Differences of neighbours along an axis, n times."""
    x = as_node(a)
    if n < 0:
        fail(ShapeError, "diff", f"the order n must be >= 0, got {n}.")
    along = canonical_axis(axis, x.ndim, "diff")
    if n == 0:
        return x
    parts = [x]
    one = tuple(1 if i == along else m for i, m in enumerate(x.shape))
    for values, front in ((prepend, True), (append, False)):
        if values is not np._NoValue:
            node = as_node(values)
            node = broadcast_to(node, one) if node.ndim == 0 else node
            parts.insert(0, node) if front else parts.append(node)
    x = joined("diff", parts, along)
    for _ in range(n):
        upper, lower = section(x, along, 1, x.shape[along]), _but_last(x, along)
        x = upper ^ lower if x.dtype.kind == "b" else upper - lower
    return x


def _but_last(x: Expr, axis: int) -> Expr:
    return section(x, axis, 0, max(x.shape[axis] - 1, 0))


@public(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Expr:
    """Differences of neighbours of the flattened array."""
    x = as_node(ary)
    x = diff(reshape_to(x, (x.size,)))
    front = [] if to_begin is None else [as_node(to_begin).reshape(-1)]
    back = [] if to_end is None else [as_node(to_end).reshape(-1)]
    return convert(joined("ediff1d", [*front, x, *back], 0), x.dtype)


@public(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Axis = None, edge_order: int = 1) -> Any:
    """Central differences; spacings are numbers, not coordinates."""
    x = as_floating(as_node(f))
    axes = canonical_axes(axis, x.ndim, "gradient")
    spacings = (
        varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    )
    if len(spacings) != len(axes):
        fail(ShapeError, "gradient", f"needs one spacing for each of axes {axes}.")
    if any(np.ndim(h) for h in spacings):
        refuse_option(
            "gradient", "an array of coordinates", "Give one spacing per axis."
        )
    results = tuple(
        _gradient(x, i, h, edge_order) for i, h in zip(axes, spacings, strict=True)
    )
    return results[0] if len(results) == 1 else results


def _gradient(x: Expr, axis: int, h: Any, edge_order: int) -> Expr:
    n = x.shape[axis]
    if n < edge_order + 1:
        fail(ShapeError, "gradient", f"axis {axis} of {origin(x)} is too short: {n}.")

    def at(i: int) -> Expr:
        return section(x, axis, i % n, i % n + 1)

    inner = (section(x, axis, 2, n) - section(x, axis, 0, max(n - 2, 0))) / (2 * h)
    if edge_order == 1:
        first, last = (at(1) - at(0)) / h, (at(-1) - at(-2)) / h
    else:
        first = (-1.5 / h) * at(0) + (2.0 / h) * at(1) + (-0.5 / h) * at(2)
        last = (0.5 / h) * at(-3) + (-2.0 / h) * at(-2) + (1.5 / h) * at(-1)
    return joined("gradient", [first, inner, last], axis)


@public(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Expr:
    """The integral by the trapezoidal rule."""
    values = as_node(y)
    along = canonical_axis(axis, values.ndim, "trapezoid")
    if x is not None:
        points = as_node(x)
        steps = diff(points, axis=along if points.ndim > 1 else 0)
        if points.ndim == 1:
            shape = tuple(-1 if i == along else 1 for i in range(values.ndim))
            steps = steps.reshape(shape)
        dx = steps
    upper, lower = (
        section(values, along, 1, values.shape[along]),
        _but_last(values, along),
    )
    return summed(dx * (upper + lower) / 2.0, (along,))


# --- scans ----------------------------------------------------------------------


def scan_along(
    x: Expr, axis: int, combine: Callable[[Expr, Expr], Expr], start: Any
) -> Expr:
    """Results of all prefixes, in log2(n) combinations of whole arrays."""
    n, step = x.shape[axis], 1
    while step < n:
        shape = tuple(step if i == axis else m for i, m in enumerate(x.shape))
        filling = broadcast_to(as_expr(start, x.dtype), shape)
        x = combine(joined("scan", [filling, section(x, axis, 0, n - step)], axis), x)
        step *= 2
    return x


def _cumulative(name: str, combine: Any, start: int) -> Any:
    def function(
        a: Any, axis: int | None = None, dtype: Any = None, out: Any = None
    ) -> Expr:
        refuse_out(out, name)
        x = as_node(a)
        if axis is None:
            x, axis = reshape_to(x, (x.size,)), 0
        wide = convert(x, INT64) if x.dtype.kind in "bi" else x
        x = wide if dtype is None else convert(x, dtype)
        return scan_along(x, canonical_axis(axis, x.ndim, name), combine, start)

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return public(getattr(np, name))(function)


cumsum = _cumulative("cumsum", lambda x, y: x + y, 0)
cumprod = _cumulative("cumprod", lambda x, y: x * y, 1)


def _array_api_cumulative(name: str, function: Any, start: int) -> Any:
    def cumulative(
        x: Any,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Expr:
        node = as_node(x)
        if axis is None:
            if node.ndim != 1:
                fail(ShapeError, name, f"needs axis= for {origin(node)}.")
            axis = 0
        result = function(node, axis, dtype, out)
        if not include_initial:
            return result
        along = canonical_axis(axis, result.ndim, name)
        shape = tuple(1 if i == along else m for i, m in enumerate(result.shape))
        return joined(
            name, [broadcast_to(as_expr(start, result.dtype), shape), result], along
        )

    cumulative.__name__ = name
    cumulative.__doc__ = f"As `numpy.{name}`."
    return public(getattr(np, name, None))(cumulative)


cumulative_sum = _array_api_cumulative("cumulative_sum", cumsum, 0)
cumulative_prod = _array_api_cumulative("cumulative_prod", cumprod, 1)


def _accumulate(combine: Any, start: Any, prepare: Any = None) -> Any:
    def method(a: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Expr:
        x = as_node(a) if dtype is None else convert(as_node(a), dtype)
        x = x if prepare is None else prepare(x)
        first = start(x.dtype) if callable(start) else start
        return scan_along(x, canonical_axis(axis, x.ndim, "accumulate"), combine, first)

    return method


def _register_accumulate() -> None:
    table = {
        np.add: cumsum,
        np.multiply: cumprod,
        np.maximum: _accumulate(maximum, reduction.reduce_max.identity),
        np.minimum: _accumulate(minimum, reduction.reduce_min.identity),
        np.logical_and: _accumulate(logic.bitwise_and, True, truth),
        np.logical_or: _accumulate(logic.bitwise_or, False, truth),
    }
    for ufunc, function in table.items():
        FUNCTIONS[(ufunc, "accumulate")] = (
            lambda a, axis=0, dtype=None, out=None, f=function: f(a, axis, dtype, out)
        )


_register_accumulate()
