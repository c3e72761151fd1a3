"""Arrays made from others: filled, masked, diagonal, selected; differences and scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mgrad.errors import ShapeError, UnsupportedError
from mgrad.expr import Expr, make
from mgrad.graph import origin
from mgrad.numpy.arguments import (
    Axis,
    as_node,
    canonical_axes,
    canonical_axis,
    canonical_shape,
    fail,
    public,
    refuse_option,
    refuse_out,
)
from mgrad.numpy.joining import joined, section
from mgrad.numpy.operators import maximum, minimum
from mgrad.numpy.reductions import summed
from mgrad.numpy.shaping import reorder
from mgrad.numpy.ufuncs import as_floating, truth
from mgrad.primitive import as_expr, broadcast_to, convert, full_like, result_type
from mgrad.primitives import logic, movement, reduction
from mgrad.primitives.indexing import iota
from mgrad.primitives.movement import reshape_to
from mgrad.protocols import FUNCTIONS

INT64 = np.dtype("int64")


# --- filled ---------------------------------------------------------------------


def _filled(name: str, value: int) -> Any:
    def function(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
        *, device: Any = None,
    ) -> Expr:
        return _full(as_node(a), value, dtype, shape, name)

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return public(getattr(np, name))(function)


def _full(x: Expr, value: Any, dtype: Any, shape: Any, name: str) -> Expr:
    target = x.dtype if dtype is None else np.dtype(dtype)
    extents = x.shape if shape is None else canonical_shape(shape, name)
    node = as_node(value)
    if node.ndim > len(extents):
        fail(ShapeError, name, f"the value {origin(node)} does not broadcast to {extents}.")
    np.broadcast_shapes(node.shape, extents)
    return broadcast_to(as_expr(node, target), extents)


zeros_like = _filled("zeros_like", 0)
ones_like = _filled("ones_like", 1)
empty_like = _filled("empty_like", 0)


@public(np.full_like, name="full_like")
def full_like_(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
    shape: Any = None, *, device: Any = None,
) -> Expr:
    """An array filled with a value, of the shape and dtype of `a`."""
    return _full(as_node(a), fill_value, dtype, shape, "full_like")


@public(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0, *, device: Any = None,
) -> Any:
    """Evenly spaced numbers from start to stop."""
    first, last = as_floating(as_node(start)), as_floating(as_node(stop))
    pieces = num - 1 if endpoint else num
    step = (last - first) / max(pieces, 1)
    fraction = np.arange(num, dtype=float).reshape(num, *(1,) * step.ndim)
    points = convert(as_expr(fraction), step.dtype) * step + first
    if endpoint and num > 1:
        tail = broadcast_to(last, (1, *points.shape[1:]))
        points = joined("linspace", [section(points, 0, 0, num - 1), tail], 0)
    along = canonical_axis(axis, points.ndim, "linspace")
    order = [i for i in range(1, points.ndim)]
    order.insert(along, 0)
    result = reorder(points, tuple(order))
    result = result if dtype is None else convert(result, dtype)
    return (result, step) if retstep else result


@public(np.meshgrid)
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Expr, ...]:
    """Coordinates of a grid from the coordinates along its axes."""
    lines = [as_node(x) for x in xi]
    rank = len(lines)
    axes = list(range(rank))
    if indexing == "xy" and rank > 1:
        axes[0], axes[1] = 1, 0
    grids = []
    for line, axis in zip(lines, axes, strict=True):
        grids.append(reshape_to(line, tuple(line.size if i == axis else 1 for i in range(rank))))
    if sparse:
        return tuple(grids)
    shape = np.broadcast_shapes(*(g.shape for g in grids))
    return tuple(broadcast_to(g, shape) for g in grids)


# --- triangles and diagonals ----------------------------------------------------


def _triangle(x: Expr, k: int) -> Expr:
    """Whether column <= row + k, over the last two axes."""
    rows, columns = x.shape[-2:]
    i = make(iota, (), ((rows, 1), "int64"))
    j = make(iota, (), ((1, columns), "int64"))
    return broadcast_to(logic.less_equal(j, i + k), x.shape)


def _as_matrix(m: Any) -> Expr:
    """NumPy masks a vector as if each row were that vector."""
    x = as_node(m)
    return broadcast_to(x, (x.size, x.size)) if x.ndim == 1 else x


@public(np.tril)
def tril(m: Any, k: int = 0) -> Expr:
    """Zeros above the k-th diagonal."""
    x = _as_matrix(m)
    return logic.where(_triangle(x, k), x, full_like(x, 0))


@public(np.triu)
def triu(m: Any, k: int = 0) -> Expr:
    """Zeros below the k-th diagonal."""
    x = _as_matrix(m)
    return logic.where(_triangle(x, k - 1), full_like(x, 0), x)


@public(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """The diagonal of two axes, as the last axis."""
    x = as_node(a)
    if x.ndim < 2:
        fail(ShapeError, "diagonal", f"needs two axes at least, got {origin(x)}.")
    rows, columns = canonical_axes((axis1, axis2), x.ndim, "diagonal")
    rest = [i for i in range(x.ndim) if i not in (rows, columns)]
    x = reorder(x, (*rest, rows, columns))
    return _diagonal(x, offset)


def _diagonal(x: Expr, offset: int) -> Expr:
    """Of the last two axes: in the flattened matrix it is a slice of step columns + 1."""
    *rest, n, m = x.shape
    length = max(0, min(n + min(offset, 0), m - max(offset, 0)))
    start = (offset if offset >= 0 else -offset * m) if length else 0
    flat = reshape_to(x, (*rest, n * m))
    step = m + 1 if length > 1 else 1
    return section(flat, flat.ndim - 1, start, start + length * step, step)


@public(np.linalg.diagonal, name="linalg.diagonal")
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Expr:
    """The diagonal of the last two axes."""
    return diagonal(x, offset, -2, -1)


@public(np.diag)
def diag(v: Any, k: int = 0) -> Expr:
    """A matrix with this diagonal, or the diagonal of a matrix."""
    x = as_node(v)
    if x.ndim == 2:
        return _diagonal(x, k)
    if x.ndim != 1:
        fail(ShapeError, "diag", f"takes one or two axes, got {origin(x)}.")
    n = x.size + abs(k)
    start = k if k >= 0 else -k * n
    flat = make(movement.pad, (x,), ((n * n,), (start if x.size else 0,), (n + 1,)))
    return reshape_to(flat, (n, n))


@public(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Expr:
    """A matrix with the elements on its diagonal."""
    x = as_node(v)
    return diag(reshape_to(x, (x.size,)), k)


@public(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None,
    out: Any = None,
) -> Expr:
    """The sum of the diagonal."""
    refuse_out(out, "trace")
    line = diagonal(a, offset, axis1, axis2)
    line = line if dtype is None else convert(line, dtype)
    return summed(line, (line.ndim - 1,))


@public(np.linalg.trace, name="linalg.trace")
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Expr:
    """The sum of the diagonal of the last two axes."""
    return trace(x, offset, -2, -1, dtype)


# --- selected -------------------------------------------------------------------


@public(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Expr:
    """x where the condition holds, else y; gradients of the other are exact zeros."""
    if x is None or y is None:
        fail(
            UnsupportedError, "where",
            "the positions where a traced condition holds have a shape that depends on "
            "the data. Use np.where(condition, x, y), or a sum with where=.",
        )
    return logic.where(_operand(condition), _operand(x), _operand(y))


def _operand(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, Expr)) else as_node(value)


@public(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Expr:
    """The choice of the first condition that holds."""
    if len(condlist) != len(choicelist) or not len(condlist):
        fail(
            ShapeError, "select",
            f"needs as many choices as conditions, got {len(choicelist)}, {len(condlist)}.",
        )
    dtype = result_type(*map(_operand, choicelist), _operand(default))
    result = as_expr(_operand(default), dtype)
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = logic.where(_operand(condition), as_expr(_operand(choice), dtype), result)
    return result


# --- differences ----------------------------------------------------------------


@public(np.diff)
def diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue
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
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(spacings) != len(axes):
        fail(ShapeError, "gradient", f"needs one spacing for each of axes {axes}.")
    if any(np.ndim(h) for h in spacings):
        refuse_option("gradient", "an array of coordinates", "Give one spacing per axis.")
    results = tuple(_gradient(x, i, h, edge_order) for i, h in zip(axes, spacings, strict=True))
    return results[0] if len(results) == 1 else results


def _gradient(x: Expr, axis: int, h: Any, edge_order: int) -> Expr:
    n = x.shape[axis]
    if n < edge_order + 1:
        fail(ShapeError, "gradient", f"axis {axis} of {origin(x)} is too short: {n}.")
    at = lambda i: section(x, axis, i % n, i % n + 1)  # noqa: E731
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
    upper, lower = section(values, along, 1, values.shape[along]), _but_last(values, along)
    return summed(dx * (upper + lower) / 2.0, (along,))


# --- scans ----------------------------------------------------------------------


def scan_along(x: Expr, axis: int, combine: Callable[[Expr, Expr], Expr], start: Any) -> Expr:
    """Results of all prefixes, in log2(n) combinations of whole arrays."""
    n, step = x.shape[axis], 1
    while step < n:
        shape = tuple(step if i == axis else m for i, m in enumerate(x.shape))
        filling = broadcast_to(as_expr(start, x.dtype), shape)
        x = combine(joined("scan", [filling, section(x, axis, 0, n - step)], axis), x)
        step *= 2
    return x


def _cumulative(name: str, combine: Any, start: int) -> Any:
    def function(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Expr:
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
        x: Any, /, *, axis: int | None = None, dtype: Any = None, out: Any = None,
        include_initial: bool = False,
    ) -> Expr:
        node = as_node(x)
        if axis is None:
            if node.ndim != 1:
                fail(ShapeError, name, f"needs axis= for {origin(node)}.")
            axis = 0
        result = function(node, axis, dtype, out)
        if not include_initial:
            return result  # type: ignore[no-any-return]
        along = canonical_axis(axis, result.ndim, name)
        shape = tuple(1 if i == along else m for i, m in enumerate(result.shape))
        return joined(name, [broadcast_to(as_expr(start, result.dtype), shape), result], along)

    cumulative.__name__ = name
    cumulative.__doc__ = f"As `numpy.{name}`."
    return public(getattr(np, name))(cumulative)


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
        np.add: cumsum, np.multiply: cumprod,
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


