"""Arrays made from others: filled, triangular, diagonal, selected."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from typing import Any

import numpy as np

from mgrad.errors import ShapeError, UnsupportedError
from mgrad.expr import Expr, make
from mgrad.graph import origin
from mgrad.numpy.arguments import (
    as_node,
    canonical_axes,
    canonical_axis,
    canonical_shape,
    fail,
    public,
    refuse_out,
)
from mgrad.numpy.joining import joined, section
from mgrad.numpy.reductions import summed
from mgrad.numpy.shaping import reorder
from mgrad.primitive import as_expr, broadcast_to, convert, full_like, result_type
from mgrad.primitives import logic, movement
from mgrad.primitives.indexing import iota
from mgrad.primitives.movement import reshape_to

INT64 = np.dtype("int64")


# --- filled ---------------------------------------------------------------------


def _filled(name: str, value: int) -> Any:
    def function(
        a: Any,
        dtype: Any = None,
        order: str = "K",
        subok: bool = True,
        shape: Any = None,
        *,
        device: Any = None,
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
        fail(
            ShapeError,
            name,
            f"the value {origin(node)} does not broadcast to {extents}.",
        )
    np.broadcast_shapes(node.shape, extents)
    return broadcast_to(as_expr(node, target), extents)


zeros_like = _filled("zeros_like", 0)
ones_like = _filled("ones_like", 1)
empty_like = _filled("empty_like", 0)


@public(np.full_like, name="full_like")
def full_like_(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Expr:
    """An array filled with a value, of the shape and dtype of `a`."""
    return _full(as_node(a), fill_value, dtype, shape, "full_like")


@public(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Evenly spaced numbers from start to stop."""
    kind = result_type(_operand(start), _operand(stop), 1.0)
    first, last = as_expr(_operand(start), kind), as_expr(_operand(stop), kind)
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
        grids.append(
            reshape_to(line, tuple(line.size if i == axis else 1 for i in range(rank)))
        )
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
    """Of the last two axes: flattened, it is a slice of step columns + 1."""
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
    a: Any,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,
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
            UnsupportedError,
            "where",
            "the positions where a traced condition holds have a shape that depends on "
            "the data. Use np.where(condition, x, y), or a sum with where=.",
        )
    return logic.where(_operand(condition), _operand(x), _operand(y))


def _operand(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, Expr)) else as_node(value)


@public(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Expr:
    """The function (or number) of the last condition that holds, else 0.

    Each function sees all of x; the branch that is not chosen has no gradient.
    """
    node = as_node(x)
    single = np.ndim(condlist[0]) < node.ndim  # the items of one condition
    conditions = [condlist] if single else list(condlist)
    choices = [c(node, *args, **kw) if callable(c) else c for c in funclist]
    if len(choices) not in (len(conditions), len(conditions) + 1):
        fail(
            ShapeError,
            "piecewise",
            f"needs a function for each condition and at most one more, got "
            f"{len(choices)} for {len(conditions)}.",
        )
    default = choices.pop() if len(choices) > len(conditions) else 0
    result = broadcast_to(as_expr(_operand(default), node.dtype), node.shape)
    for condition, choice in zip(conditions, choices, strict=True):
        value = as_expr(_operand(choice), node.dtype)
        result = logic.where(_operand(condition), value, result)
    return result


@public(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[np.ndarray, ...]:
    """The indices of the lower triangle of a matrix of this shape."""
    return np.tril_indices(arr.shape[-2], k, arr.shape[-1])


@public(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[np.ndarray, ...]:
    """The indices of the upper triangle of a matrix of this shape."""
    return np.triu_indices(arr.shape[-2], k, arr.shape[-1])


@public(np.diag_indices_from)
def diag_indices_from(arr: Any) -> tuple[np.ndarray, ...]:
    """The indices of the diagonal of an array of this shape."""
    return np.diag_indices(arr.shape[0], arr.ndim)


@public(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Expr:
    """The choice of the first condition that holds."""
    if len(condlist) != len(choicelist) or not len(condlist):
        fail(
            ShapeError,
            "select",
            f"needs a choice for each condition, got {len(choicelist)} for "
            f"{len(condlist)}.",
        )
    dtype = result_type(*map(_operand, choicelist), _operand(default))
    result = as_expr(_operand(default), dtype)
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = logic.where(
            _operand(condition), as_expr(_operand(choice), dtype), result
        )
    return result
