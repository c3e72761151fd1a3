"""Norms, reductions that skip NaN, and log-sum-exp with its relatives."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr
from mgrad.graph import origin
from mgrad.numpy.arguments import (
    Axis,
    as_node,
    canonical_axes,
    fail,
    public,
    refuse_option,
    refuse_out,
)
from mgrad.numpy.constructing import diagonal
from mgrad.numpy.contraction import matmul
from mgrad.numpy.elementwise import clip
from mgrad.numpy.joining import concatenate, pad, stack
from mgrad.numpy.reductions import (
    all_,
    argmax,
    argmin,
    given,
    kept_shape,
    max_,
    mean,
    min_,
    prod,
    safe_sqrt,
    sum_,
    var,
)
from mgrad.numpy.scans import cumprod, cumsum
from mgrad.numpy.shaping import flip, reorder, squeeze
from mgrad.numpy.ufuncs import as_floating
from mgrad.primitive import broadcast_shapes, broadcast_to, convert, full_like
from mgrad.primitives import arithmetic, elementary, logic
from mgrad.primitives.logic import stop_gradient, where
from mgrad.primitives.movement import reshape_to

# --- norms ----------------------------------------------------------------------


@public(np.linalg.norm, name="linalg.norm")
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Expr:
    """Vector norms, Frobenius, 1 and infinity norms of matrices; derivative 0 at 0."""
    node = as_floating(as_node(x))
    if axis is None:
        axes = tuple(range(node.ndim))
        if (
            ord is None
            or (ord == 2 and node.ndim == 1)
            or (ord == "fro" and node.ndim == 2)
        ):
            return _root_of_squares(node, axes, keepdims)
    else:
        axes = canonical_axes(axis, node.ndim, "linalg.norm")
    if len(axes) == 1:
        return _vector_norm(node, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(node, "fro" if ord is None else ord, axes, keepdims)
    fail(
        ShapeError,
        "linalg.norm",
        f"one axis (vectors) or two (matrices) have a norm, got axes {axes} of "
        f"{origin(node)}. Give axis=, or flatten with np.ravel.",
    )


def _root_of_squares(x: Expr, axes: tuple[int, ...], keepdims: bool) -> Expr:
    return safe_sqrt(sum_(x * x, axes, keepdims=keepdims))


def _vector_norm(x: Expr, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Expr:
    size = arithmetic.absolute(x)
    if isinstance(ord, str):
        fail(
            ShapeError, "linalg.norm", f"{ord!r} is a norm of matrices; give two axes."
        )
    if ord == 2:
        return _root_of_squares(x, axes, keepdims)
    if ord == np.inf:
        return max_(size, axes, keepdims=keepdims)
    if ord == -np.inf:
        return min_(size, axes, keepdims=keepdims)
    if ord == 0:
        return sum_(convert(x != 0, x.dtype), axes, keepdims=keepdims)
    if ord == 1:
        return sum_(size, axes, keepdims=keepdims)
    zero = size == 0
    powers = where(zero, np.inf if ord < 0 else 0.0, where(zero, 1.0, size) ** ord)
    total = sum_(powers, axes, keepdims=keepdims)
    empty = (total == 0) | logic.isinf(total)
    root = where(empty, 1.0, total) ** (1 / ord)
    return where(
        total == 0, 0.0 if ord > 0 else np.inf, where(empty, total ** (1 / ord), root)
    )


def _matrix_norm(x: Expr, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Expr:
    if ord == "fro":
        return _root_of_squares(x, axes, keepdims)
    if ord not in (1, -1, np.inf, -np.inf):
        refuse_option(
            "linalg.norm",
            f"ord={ord!r} of a matrix",
            "It needs singular values; use 'fro', 1, -1, inf or -inf.",
        )
    rows, columns = axes
    inner, outer = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = sum_(arithmetic.absolute(x), inner, keepdims=True)
    extreme = max_ if ord > 0 else min_
    result = extreme(sums, outer, keepdims=True)
    kept = kept_shape(x.shape, axes)
    return (
        result
        if keepdims
        else reshape_to(result, tuple(n for i, n in enumerate(kept) if i not in axes))
    )


@public(np.linalg.vector_norm, name="linalg.vector_norm")
def vector_norm(
    x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2
) -> Expr:
    """The norm of vectors along axes; derivative 0 at 0."""
    node = as_floating(as_node(x))
    return _vector_norm(
        node, ord, canonical_axes(axis, node.ndim, "vector_norm"), keepdims
    )


@public(np.linalg.matrix_norm, name="linalg.matrix_norm")
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Expr:
    """The norm of the matrices of the last two axes."""
    node = as_floating(as_node(x))
    axes = canonical_axes((-2, -1), node.ndim, "matrix_norm")
    return _matrix_norm(node, ord, axes, keepdims)


# --- without NaN ----------------------------------------------------------------


def _without_nan(x: Expr, otherwise: float) -> Expr:
    return where(logic.isnan(x), otherwise, x) if x.dtype.kind == "f" else x


def _neutral(name: str, function: Any, otherwise: float) -> Any:
    def reduce(a: Any, *args: Any, **kwargs: Any) -> Expr:
        return function(_without_nan(as_node(a), otherwise), *args, **kwargs)

    reduce.__name__ = name
    reduce.__doc__ = f"As `numpy.{name}`: NaN counts as {otherwise:g}."
    return public(getattr(np, name))(reduce)


nansum = _neutral("nansum", sum_, 0.0)
nanprod = _neutral("nanprod", prod, 1.0)
nancumsum = _neutral("nancumsum", cumsum, 0.0)
nancumprod = _neutral("nancumprod", cumprod, 1.0)
nanargmax = _neutral("nanargmax", argmax, -np.inf)
nanargmin = _neutral("nanargmin", argmin, np.inf)


def _nan_extreme(name: str, function: Any, otherwise: float) -> Any:
    def reduce(
        a: Any,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        **options: Any,
    ) -> Expr:
        refuse_out(out, name)
        x = as_node(a)
        if x.dtype.kind != "f":
            return function(x, axis, None, keepdims, **options)
        missing = all_(
            logic.isnan(x), axis=axis, keepdims=bool(given(keepdims) and keepdims)
        )
        result = function(_without_nan(x, otherwise), axis, None, keepdims, **options)
        return where(missing, np.nan, result)

    reduce.__name__ = name
    reduce.__doc__ = f"As `numpy.{name}`: NaN only where all are."
    return public(getattr(np, name))(reduce)


nanmax = _nan_extreme("nanmax", max_, -np.inf)
nanmin = _nan_extreme("nanmin", min_, np.inf)


def _present(x: Expr, options: dict[str, Any]) -> Any:
    """`where=` without the NaN."""
    if x.dtype.kind != "f":
        return options.pop("where", True)
    present = ~logic.isnan(x)
    chosen = options.pop("where", True)
    return (
        present & as_node(chosen) if given(chosen) and chosen is not True else present
    )


@public(np.nanmean)
def nanmean(a: Any, *args: Any, **options: Any) -> Expr:
    """The mean of what is not NaN."""
    x = as_node(a)
    return mean(x, *args, where=_present(x, options), **options)


@public(np.nanvar)
def nanvar(a: Any, *args: Any, **options: Any) -> Expr:
    """The variance of what is not NaN."""
    x = as_node(a)
    present = _present(x, options)
    return var(_without_nan(x, 0.0), *args, where=present, **options)


@public(np.nanstd)
def nanstd(a: Any, *args: Any, **options: Any) -> Expr:
    """The standard deviation of what is not NaN; its derivative is 0 where it is 0."""
    return safe_sqrt(nanvar(a, *args, **options))


# --- log-sum-exp ----------------------------------------------------------------


def _largest(x: Expr, axes: tuple[int, ...]) -> Expr:
    """The finite maximum along axes, as a constant for derivatives."""
    top = stop_gradient(max_(x, axes, keepdims=True, initial=-np.inf))
    return where(logic.isfinite(top), top, 0.0)


@public(name="logsumexp")
def logsumexp(a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False) -> Expr:
    """log(sum(b exp(a))) without overflow, as `scipy.special.logsumexp`."""
    x = as_floating(as_node(a))
    if b is not None:
        weight = as_node(b)
        shape = broadcast_shapes("logsumexp", [x, weight])
        x, weight = broadcast_to(x, shape), broadcast_to(weight, shape)
        x = where(weight == 0, -np.inf, x)
    axes = canonical_axes(axis, x.ndim, "logsumexp")
    top = _largest(x, axes)
    terms = elementary.exp(x - top)
    terms = terms if b is None else terms * weight
    result = elementary.log(sum_(terms, axes, keepdims=True)) + top
    if keepdims:
        return result
    return reshape_to(result, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@public(name="softmax")
def softmax(x: Any, axis: Axis = None) -> Expr:
    """exp(x) / sum(exp(x)), as `scipy.special.softmax`."""
    node = as_floating(as_node(x))
    axes = canonical_axes(axis, node.ndim, "softmax")
    terms = elementary.exp(node - _largest(node, axes))
    return terms / sum_(terms, axes, keepdims=True)


@public(name="log_softmax")
def log_softmax(x: Any, axis: Axis = None) -> Expr:
    """log(softmax(x)) without cancellation, as `scipy.special.log_softmax`."""
    node = as_floating(as_node(x))
    axes = canonical_axes(axis, node.ndim, "log_softmax")
    apart = node - _largest(node, axes)
    return apart - elementary.log(sum_(elementary.exp(apart), axes, keepdims=True))


# --- covariance -----------------------------------------------------------------


@public(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    **options: Any,
) -> Expr:
    """The covariance of variables in rows, in float64."""
    if any(given(v) for v in options.values()):
        refuse_option("cov", f"{min(options)}=", "Leave it out.")
    rows = _variables(m, rowvar)
    if y is not None:
        rows = concatenate([rows, _variables(y, rowvar)])
    less = (0 if bias else 1) if ddof is None else ddof
    apart = rows - mean(rows, 1, keepdims=True)
    product = matmul(apart, apart.T) / (rows.shape[1] - less)
    return squeeze(product)


def _variables(m: Any, rowvar: bool) -> Expr:
    x = convert(as_node(m), "float64")
    if x.ndim > 2:
        fail(ShapeError, "cov", f"takes one or two axes, got {origin(x)}.")
    if x.ndim < 2:
        return reshape_to(x, (1, x.size))
    return x if rowvar or x.shape[0] == 1 else reorder(x, (1, 0))


@public(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, **options: Any) -> Expr:
    """The correlation of variables in rows."""
    c = as_node(cov(x, y, rowvar, **options))
    if c.ndim == 0:
        return c / c
    spread = arithmetic.sqrt(diagonal(c))
    return clip(c / spread[:, None] / spread[None, :], -1.0, 1.0)


@public(np.polyval)
def polyval(p: Any, x: Any) -> Expr:
    """A polynomial by Horner's rule, the highest power first."""
    coefficients = as_node(p)
    node = as_node(x)
    result = full_like(node, 0)
    for i in range(coefficients.shape[0]):
        result = result * node + coefficients[i]
    return result


@public(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Expr:
    """The powers of a vector as columns, the highest first."""
    node = as_node(x)
    if node.ndim != 1:
        fail(ShapeError, "vander", f"the operand must have one axis, got {node.ndim}.")
    count = len(node) if N is None else operator.index(N)
    powers = range(count) if increasing else range(count - 1, -1, -1)
    if not count:
        return node[:, None][:, :0]
    return stack([node**n for n in powers], axis=1)


@public(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Expr:
    """The sum of shifted products of two vectors."""
    x, y = as_node(a), as_node(v)
    if x.ndim > 1 or y.ndim > 1 or not x.size or not y.size:
        fail(ShapeError, "convolve", f"takes vectors, got {origin(x)} and {origin(y)}.")
    x, y = reshape_to(x, (x.size,)), reshape_to(y, (y.size,))
    if y.size > x.size:
        x, y = y, x
    windows = _windows(pad(x, y.size - 1), x.size + y.size - 1, y.size)
    full = matmul(windows, flip(y))
    if mode == "full":
        return full
    if mode == "same":
        start = (y.size - 1) // 2
        return full[start : start + x.size]
    if mode != "valid":
        refuse_option("convolve", f"mode={mode!r}", "Use 'full', 'same' or 'valid'.")
    return full[y.size - 1 : x.size]


@public(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Expr:
    """The convolution with `v` backwards."""
    if as_node(v).size > as_node(a).size:
        return flip(convolve(v, flip(as_node(a)), mode))
    return convolve(a, flip(as_node(v)), mode)


def _windows(x: Expr, count: int, width: int) -> Expr:
    """Rows x[i : i + width]: repeated x, cut into rows longer by one than itself."""
    n = x.size
    flat = reshape_to(broadcast_to(x, (count + 1, n)), ((count + 1) * n,))
    rows = reshape_to(flat[: count * (n + 1)], (count, n + 1))
    return rows[:, :width]
