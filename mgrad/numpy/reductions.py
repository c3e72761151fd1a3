"""Reductions: sums, products, extremes, moments; NumPy's dtypes and options."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr, Shape, constant, make
from mgrad.numpy.arguments import (
    Axis,
    as_node,
    canonical_axes,
    fail,
    public,
    refuse_out,
)
from mgrad.numpy.elementwise import isclose
from mgrad.numpy.ufuncs import as_floating, truth
from mgrad.primitive import (
    REGISTRY,
    as_expr,
    broadcast_shapes,
    broadcast_to,
    convert,
)
from mgrad.primitives import arithmetic, logic, reduction
from mgrad.primitives.indexing import iota
from mgrad.primitives.logic import where as choose
from mgrad.primitives.movement import reshape_to
from mgrad.protocols import FUNCTIONS

INT64 = np.dtype("int64")
Option = Any  # an option whose default is np._NoValue


def given(option: Option) -> bool:
    """Whether an option was given."""
    return option is not None and option is not np._NoValue


def kept_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape with extent 1 along the reduced axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduce(primitive: Any, x: Expr, axes: tuple[int, ...], keepdims: Any) -> Expr:
    """The node of a reduction, over canonical axes."""
    result = make(primitive, (x,), (tuple(sorted(axes)),)) if axes else x
    if given(keepdims) and keepdims:
        return reshape_to(result, kept_shape(x.shape, axes))
    return result


def masked(x: Expr, where: Any, otherwise: Any, name: str) -> Expr:
    """`x` with the elements that `where=` leaves out replaced."""
    if where is True or not given(where):
        return x
    mask = truth(as_node(where))
    shape = broadcast_shapes(name, [x, mask])
    x = broadcast_to(x, shape)
    return choose(mask, x, constant(otherwise, x.dtype))


def summed(
    x: Expr, axes: tuple[int, ...], keepdims: Any = False, primitive: Any = None
) -> Expr:
    """The sum, of booleans and int32 as int64."""
    wide = convert(x, INT64) if x.dtype.kind in "bi" else x
    return reduce(primitive or reduction.reduce_sum, wide, axes, keepdims)


def _accumulation(name: str, primitive: Any, identity: int, ufunc: np.ufunc) -> Any:
    def function(
        a: Any,
        axis: Axis = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Option = None,
        where: Any = True,
    ) -> Expr:
        refuse_out(out, name)
        x = masked(as_node(a), where, identity, name)
        if dtype is not None:
            x = convert(x, dtype)
        axes = canonical_axes(axis, x.ndim, name)
        if dtype is None or x.dtype.kind == "b":
            result = summed(x, axes, keepdims, primitive)
        else:
            result = reduce(primitive, x, axes, keepdims)
        if given(initial):
            result = as_expr(ufunc(result, initial), result.dtype)
        return result if dtype is None else convert(result, dtype)

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return function


sum_ = public(np.sum)(_accumulation("sum", reduction.reduce_sum, 0, np.add))
prod = public(np.prod)(_accumulation("prod", reduction.reduce_prod, 1, np.multiply))


def _extreme(name: str, primitive: Any, on_booleans: Any, ufunc: np.ufunc) -> Any:
    def function(
        a: Any,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Option = np._NoValue,
        where: Any = True,
    ) -> Expr:
        refuse_out(out, name)
        x = as_node(a)
        if where is not True and given(where):
            if not given(initial):
                fail(
                    ShapeError,
                    name,
                    "where= needs initial=, the value of an empty choice.",
                )
            x = masked(x, where, primitive.identity(x.dtype), name)
        axes = canonical_axes(axis, x.ndim, name)
        if not given(initial):
            refuse_empty(x, axes, name)
        if any(x.shape[i] == 0 for i in axes):
            result = _nothing_but(initial, x, axes, keepdims)
        elif x.dtype.kind == "b":
            result = reduce(on_booleans, x, axes, keepdims)
        else:
            result = reduce(primitive, x, axes, keepdims)
        return ufunc(result, initial) if given(initial) else result

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`; ties share the cotangent equally."
    return function


def _nothing_but(initial: Any, x: Expr, axes: tuple[int, ...], keepdims: Any) -> Expr:
    """The extreme of no elements and an initial one."""
    kept = kept_shape(x.shape, axes)
    if not (given(keepdims) and keepdims):
        kept = tuple(n for i, n in enumerate(kept) if i not in axes)
    return broadcast_to(as_expr(initial, x.dtype), kept)


def refuse_empty(x: Expr, axes: tuple[int, ...], name: str) -> None:
    """An extreme over no elements does not exist."""
    if any(x.shape[i] == 0 for i in axes):
        fail(
            ShapeError,
            name,
            f"a reduction over no elements has no value; got shape {x.shape} along "
            f"axes {axes}. Give initial=, or check the size first.",
        )


max_ = public(np.max)(
    _extreme("max", reduction.reduce_max, reduction.reduce_any, np.maximum)
)
min_ = public(np.min)(
    _extreme("min", reduction.reduce_min, reduction.reduce_all, np.minimum)
)
amax = public(np.amax, name="amax")(max_)
amin = public(np.amin, name="amin")(min_)


def _quantifier(name: str, primitive: Any, identity: bool) -> Any:
    def function(
        a: Any,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        *,
        where: Any = True,
    ) -> Expr:
        refuse_out(out, name)
        x = masked(truth(as_node(a)), where, identity, name)
        return reduce(primitive, x, canonical_axes(axis, x.ndim, name), keepdims)

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return function


any_ = public(np.any)(_quantifier("any", reduction.reduce_any, False))
all_ = public(np.all)(_quantifier("all", reduction.reduce_all, True))


def _register_reduce_methods() -> None:
    """`np.add.reduce(x, axis)` and its like, whose axis is 0 unless given."""
    table = {
        np.add: sum_,
        np.multiply: prod,
        np.maximum: max_,
        np.minimum: min_,
        np.logical_and: all_,
        np.logical_or: any_,
    }
    for ufunc, function in table.items():
        FUNCTIONS[(ufunc, "reduce")] = _reduce_method(function)


def _reduce_method(function: Any) -> Any:
    def method(a: Any, axis: Axis = 0, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("dtype") is None:
            kwargs.pop("dtype", None)
        return function(a, axis, *args, **kwargs)

    return method


_register_reduce_methods()


def count_elements(x: Expr, axes: tuple[int, ...]) -> int:
    """The number of elements that each result combines."""
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count


@public(np.mean)
def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Expr:
    """The arithmetic mean; of integers as float64."""
    refuse_out(out, "mean")
    x = as_node(a)
    x = as_floating(x) if dtype is None else convert(x, dtype)
    axes = canonical_axes(axis, x.ndim, "mean")
    return _mean(x, axes, keepdims, where)


def _mean(
    x: Expr, axes: tuple[int, ...], keepdims: Any, where: Any, less: Any = 0
) -> Expr:
    """The sum over the number of elements, less `less`."""
    count = _count(x, axes, keepdims, where)
    if not isinstance(count, Expr):
        number = float(max(count - less, 0))
        return arithmetic.divide(_masked_sum(x, axes, keepdims, where), number)
    divisor = arithmetic.maximum(as_expr(count, x.dtype) - less, 0)
    return arithmetic.divide(_masked_sum(x, axes, keepdims, where), divisor)


def _masked_sum(x: Expr, axes: tuple[int, ...], keepdims: Any, where: Any) -> Expr:
    return reduce(reduction.reduce_sum, masked(x, where, 0, "mean"), axes, keepdims)


def _count(x: Expr, axes: tuple[int, ...], keepdims: Any, where: Any) -> Any:
    if where is True or not given(where):
        return count_elements(x, axes)
    mask = truth(as_node(where))
    mask = broadcast_to(mask, broadcast_shapes("where=", [x, mask]))
    return summed(mask, axes, keepdims)


@public(np.var)
def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = np._NoValue,
    correction: Any = np._NoValue,
) -> Expr:
    """The variance; of integers as float64."""
    refuse_out(out, "var")
    x = as_node(a)
    x = as_floating(x) if dtype is None else convert(x, dtype)
    axes = canonical_axes(axis, x.ndim, "var")
    centre = mean if given(mean) else _mean(x, axes, True, where)
    apart = x - centre
    less = correction if given(correction) else ddof
    return _mean(apart * apart, axes, keepdims, where, less)


@public(np.std)
def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **options: Any,
) -> Expr:
    """The standard deviation; its derivative is 0 where it is 0."""
    return safe_sqrt(var(a, axis, dtype, out, ddof, keepdims, **options))


def safe_sqrt(x: Expr) -> Expr:
    """The square root, with derivative 0 at 0."""
    zero = x == 0
    return choose(zero, 0.0, arithmetic.sqrt(choose(zero, 1.0, x)))


@public(np.ptp)
def ptp(a: Any, axis: Axis = None, out: Any = None, keepdims: Any = False) -> Expr:
    """The largest less the smallest."""
    refuse_out(out, "ptp")
    x = as_node(a)
    return max_(x, axis, None, keepdims) - min_(x, axis, None, keepdims)


@public(np.average)
def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    """The weighted mean."""
    x = as_node(a)
    axes = canonical_axes(axis, x.ndim, "average")
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        return (result, result * 0 + count_elements(x, axes)) if returned else result
    w = as_node(weights)
    if w.shape != x.shape:
        if axis is None or w.shape != tuple(x.shape[i] for i in axes):
            fail(
                ShapeError,
                "average",
                f"weights of shape {w.shape} do not fit axes {axis} of shape "
                f"{x.shape}. Give axis= and one weight for each element along it.",
            )
        order = tuple(int(i) for i in np.argsort(axes))
        w = make(REGISTRY["transpose"], (w,), (order,))
        w = reshape_to(w, tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))
    w = broadcast_to(as_expr(w, as_floating(w).dtype), x.shape)
    w = convert(w, np.result_type(as_floating(x).dtype, w.dtype))
    weight = reduce(reduction.reduce_sum, w, axes, keepdims)
    result = reduce(reduction.reduce_sum, x * w, axes, keepdims) / weight
    return (result, weight) if returned else result


def _arg_extreme(name: str, extreme: Any) -> Any:
    def function(
        a: Any, axis: int | None = None, out: Any = None, *, keepdims: Any = False
    ) -> Expr:
        refuse_out(out, name)
        x = as_node(a)
        kept: Shape = (1,) * x.ndim
        if axis is None:
            x, axis = reshape_to(x, (x.size,)), 0
        else:
            kept = kept_shape(x.shape, canonical_axes(axis, x.ndim, name))
        (along,) = canonical_axes(axis, x.ndim, name)
        refuse_empty(x, (along,), name)
        result = first_position(x, along, extreme)
        return reshape_to(result, kept) if given(keepdims) and keepdims else result

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`: the first position, a NaN before all."
    return function


def first_position(x: Expr, axis: int, extreme: Any) -> Expr:
    """The first position along an axis of the extreme (or of a NaN)."""
    if x.dtype.kind == "b":
        x = convert(x, INT64)
    hit = x == make_extreme(x, axis, extreme)
    if x.dtype.kind == "f":
        hit = hit | logic.isnan(x)
    n = x.shape[axis]
    line = tuple(n if i == axis else 1 for i in range(x.ndim))
    positions = reshape_to(make(iota, (), ((n,), "int64")), line)
    candidates = choose(hit, positions, n)
    return reduce(reduction.reduce_min, candidates, (axis,), False)


def make_extreme(x: Expr, axis: int, extreme: Any) -> Expr:
    """The extreme along an axis, kept."""
    return reduce(extreme, x, (axis,), True)


argmax = public(np.argmax)(_arg_extreme("argmax", reduction.reduce_max))
argmin = public(np.argmin)(_arg_extreme("argmin", reduction.reduce_min))


@public(np.count_nonzero)
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: Any = False) -> Expr:
    """How many elements differ from 0."""
    x = truth(as_node(a))
    return summed(x, canonical_axes(axis, x.ndim, "count_nonzero"), keepdims)


@public(np.allclose)
def allclose(
    a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False
) -> Expr:
    """Whether all are close; a traced boolean."""
    return all_(isclose(as_node(a), b, rtol, atol, equal_nan))


@public(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Expr:
    """Whether shapes and all elements are equal; a traced boolean."""
    x, y = as_node(a1), as_node(a2)
    if x.shape != y.shape:
        return constant(False)
    same = logic.equal(x, y)
    if equal_nan:
        same = same | (logic.isnan(x) & logic.isnan(y))
    return all_(same)


@public(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Expr:
    """Whether all elements are equal after broadcasting; a traced boolean."""
    x, y = as_node(a1), as_node(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return constant(False)
    return all_(logic.equal(x, y))
