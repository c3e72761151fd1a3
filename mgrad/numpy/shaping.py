"""Reordering axes and reshaping: the movements of one array."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr, Shape, describe, make
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
)
from mgrad.primitive import broadcast_shapes, convert
from mgrad.primitive import broadcast_to as repeat_to
from mgrad.primitives.movement import permute, reshape_to, take_slice


def reorder(x: Expr, order: tuple[int, ...]) -> Expr:
    """`x` with its axes in this order."""
    return x if order == tuple(range(x.ndim)) else make(permute, (x,), (order,))


@public(np.reshape)
def reshape(a: Any, shape: Any = None, order: str = "C", *, copy: Any = None) -> Expr:
    """Another shape of the same size; orders C and F."""
    x = as_node(a)
    target = _infer_extent(x, canonical_shape(shape, "reshape"))
    if order == "F":
        return reorder_all(reshape_to(reorder_all(x), target[::-1]))
    if order not in ("C", "A", "K"):
        refuse_option("reshape", f"order={order!r}", "Use 'C' or 'F'.")
    return reshape_to(x, target)


def _infer_extent(x: Expr, shape: Shape) -> Shape:
    unknown = shape.count(-1)
    known = math.prod(n for n in shape if n != -1)
    fits = known == x.size if not unknown else (known > 0 and x.size % known == 0)
    if unknown > 1 or not fits:
        fail(
            ShapeError,
            "reshape",
            f"cannot reshape {origin(x)} ({x.size} elements) to {shape}"
            + (
                ". Only one extent can be -1."
                if unknown > 1
                else f" ({known} elements). The sizes must agree; -1 stands for one "
                "extent that follows from the others."
            ),
        )
    return tuple(x.size // known if n == -1 else n for n in shape)


def reorder_all(x: Expr) -> Expr:
    """The axes reversed."""
    return reorder(x, tuple(range(x.ndim))[::-1])


@public(np.ravel)
def ravel(a: Any, order: str = "C") -> Expr:
    """The elements in one dimension."""
    return reshape(a, (-1,), order) if as_node(a).size else reshape(a, (0,))


@public(np.transpose)
def transpose(a: Any, axes: Any = None) -> Expr:
    """The axes reversed, or in the order given."""
    x = as_node(a)
    if axes is None:
        return reorder_all(x)
    order = canonical_axes(tuple(axes), x.ndim, "transpose")
    if len(order) != x.ndim:
        fail(
            ShapeError,
            "transpose",
            f"axes {tuple(axes)} do not name each axis of {describe(x)} once.",
        )
    return reorder(x, order)


@public(np.permute_dims, name="permute_dims")
def permute_dims(a: Any, axes: Any = None) -> Expr:
    """As transpose."""
    return transpose(a, axes)


@public(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Expr:
    """The last two axes swapped."""
    return swapaxes(x, -1, -2)


@public(np.swapaxes)
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Expr:
    """Two axes exchanged."""
    x = as_node(a)
    order = list(range(x.ndim))
    first = canonical_axis(axis1, x.ndim, "swapaxes")
    second = canonical_axis(axis2, x.ndim, "swapaxes")
    order[first], order[second] = second, first
    return reorder(x, tuple(order))


@public(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Expr:
    """Axes moved to other positions."""
    x = as_node(a)
    sources = canonical_axes(source, x.ndim, "moveaxis")
    targets = canonical_axes(destination, x.ndim, "moveaxis")
    if len(sources) != len(targets):
        fail(
            ShapeError,
            "moveaxis",
            f"source {source} and destination {destination} must have as many axes.",
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return reorder(x, tuple(order))


@public(np.rollaxis)
def rollaxis(a: Any, axis: Any, start: Any = 0) -> Expr:
    """An axis moved before another."""
    x = as_node(a)
    along = canonical_axis(axis, x.ndim, "rollaxis")
    target = (
        canonical_axis(start, x.ndim + 1, "rollaxis") if start >= 0 else start + x.ndim
    )
    return moveaxis(x, along, target - 1 if along < target else target)


@public(np.squeeze)
def squeeze(a: Any, axis: Axis = None) -> Expr:
    """Without axes of extent 1."""
    x = as_node(a)
    if axis is None:
        return reshape_to(x, tuple(n for n in x.shape if n != 1))
    axes = canonical_axes(axis, x.ndim, "squeeze")
    if any(x.shape[i] != 1 for i in axes):
        fail(
            ShapeError,
            "squeeze",
            f"only axes of extent 1 can go; got axis {axis} of {origin(x)}.",
        )
    return reshape_to(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@public(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Expr:
    """New axes of extent 1."""
    x = as_node(a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = canonical_axes(axis, x.ndim + count, "expand_dims")
    extents = iter(x.shape)
    shape = tuple(1 if i in axes else next(extents) for i in range(x.ndim + count))
    return reshape_to(x, shape)


@public(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Expr:
    """Repeated to a shape."""
    x = as_node(array)
    target = canonical_shape(shape, "broadcast_to")
    pairs = zip(reversed(x.shape), reversed(target), strict=False)
    if x.ndim > len(target) or any(n not in (1, m) for n, m in pairs):
        fail(
            ShapeError,
            "broadcast_to",
            f"cannot broadcast {origin(x)} to {target}. Extents must be equal or 1 "
            "from the last axis on.",
        )
    return repeat_to(x, target)


@public(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Expr, ...]:
    """The arrays repeated to their common shape."""
    nodes = [as_node(a) for a in args]
    if not nodes:
        return ()
    shape = broadcast_shapes("broadcast_arrays", nodes)
    return tuple(repeat_to(node, shape) for node in nodes)


def _at_least(rank: int, x: Expr) -> Expr:
    if x.ndim >= rank:
        return x
    if rank == 3:
        shapes = {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}
        return reshape_to(x, shapes[x.ndim])
    return reshape_to(x, ((1,) * (rank - x.ndim) + x.shape))


def _at_least_function(rank: int) -> Any:
    def function(*arys: Any) -> Any:
        results = tuple(_at_least(rank, as_node(a)) for a in arys)
        return results[0] if len(results) == 1 else results

    function.__name__ = f"atleast_{rank}d"
    function.__doc__ = f"As `numpy.atleast_{rank}d`."
    return public(getattr(np, function.__name__))(function)


atleast_1d = _at_least_function(1)
atleast_2d = _at_least_function(2)
atleast_3d = _at_least_function(3)


def flip_axes(x: Expr, axes: tuple[int, ...]) -> Expr:
    """`x` backwards along axes."""
    starts = tuple(n - 1 if i in axes and n else 0 for i, n in enumerate(x.shape))
    steps = tuple(-1 if i in axes and n else 1 for i, n in enumerate(x.shape))
    return take_slice(x, starts, x.shape, steps)


@public(np.flip)
def flip(m: Any, axis: Axis = None) -> Expr:
    """Backwards along axes."""
    x = as_node(m)
    return flip_axes(x, canonical_axes(axis, x.ndim, "flip"))


@public(np.fliplr)
def fliplr(m: Any) -> Expr:
    """Backwards along axis 1."""
    return flip(m, 1)


@public(np.flipud)
def flipud(m: Any) -> Expr:
    """Backwards along axis 0."""
    return flip(m, 0)


@public(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Expr:
    """Turned by k right angles in the plane of two axes."""
    x = as_node(m)
    first, second = canonical_axes(tuple(axes), x.ndim, "rot90")
    quarter = k % 4
    if quarter == 0:
        return x
    if quarter == 2:
        return flip_axes(x, (first, second))
    if quarter == 1:
        return swapaxes(flip_axes(x, (second,)), first, second)
    return flip_axes(swapaxes(x, first, second), (second,))


@public(getattr(np, "astype", None))
def astype(x: Any, dtype: Any, *_: Any, **__: Any) -> Expr:
    """Another dtype; the derivative passes between floating-point dtypes."""
    return convert(as_node(x), dtype)


@public(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Expr:
    """The value itself: traced values are immutable."""
    return as_node(a)


@public(np.shape)
def shape(a: Any) -> Shape:
    """The shape, a tuple of Python ints."""
    return as_node(a).shape


@public(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes, a Python int."""
    return as_node(a).ndim


@public(np.size)
def size(a: Any, axis: Axis = None) -> int:
    """The number of elements, a Python int."""
    x = as_node(a)
    return math.prod(x.shape[i] for i in canonical_axes(axis, x.ndim, "size"))
