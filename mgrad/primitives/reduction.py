"""Reductions along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgrad.expr import Expr, make
from mgrad.primitive import REGISTRY, Reduction, full_like


def _numpy(function: Any) -> Any:
    def reduce(x: Any, axes: tuple[int, ...]) -> Any:
        x = np.asarray(x)
        return function(x, axis=axes).astype(x.dtype)

    return reduce


def _numpy_extreme(function: Any) -> Any:
    def reduce(x: Any, axes: tuple[int, ...]) -> Any:
        return function(x, axis=axes) if axes else np.asarray(x)

    return reduce


def _lowest(dtype: np.dtype) -> Any:
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    if dtype.kind == "b":
        return True
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _ties(x: Expr, out: Expr, axes: tuple[int, ...]) -> Expr:
    """1 / (number of extremes) at each extreme, else 0."""
    hit = (x == out).astype(x.dtype)
    count = make(reduce_sum, (hit,), (axes,))
    return hit / reduce_sum.spread(count, make(reduce_sum, (hit,), (axes,)))


reduce_sum = Reduction(
    "reduce_sum",
    "The sum of the elements.",
    numpy=_numpy(np.sum),
    identity=lambda dtype: 0,
    combine=lambda s, total, x: s.add(total, x),
    partial=lambda x, out, axes: 1,
    kinds="if",
)
reduce_prod = Reduction(
    "reduce_prod",
    "The product of the elements; right through zeros.",
    numpy=_numpy(np.prod),
    identity=lambda dtype: 1,
    combine=lambda s, total, x: s.mul(total, x),
    partial=lambda x, out, axes: _product_of_others(x, axes),
    kinds="if",
)
reduce_max = Reduction(
    "reduce_max",
    "The largest element, NaN if one is; ties share the cotangent.",
    numpy=_numpy_extreme(np.max),
    identity=_lowest,
    combine=lambda s, total, x: s.max(total, x),
    partial=_ties,
    kinds="if",
)
reduce_min = Reduction(
    "reduce_min",
    "The smallest element, NaN if one is; ties share the cotangent.",
    numpy=_numpy_extreme(np.min),
    identity=_highest,
    combine=lambda s, total, x: s.min(total, x),
    partial=_ties,
    kinds="if",
)
reduce_any = Reduction(
    "reduce_any",
    "Whether any element is true.",
    numpy=_numpy(np.any),
    identity=lambda dtype: False,
    combine=lambda s, total, x: s.bit_or(total, x),
    partial=lambda x, out, axes: None,
    kinds="b",
)
reduce_all = Reduction(
    "reduce_all",
    "Whether all elements are true.",
    numpy=_numpy(np.all),
    identity=lambda dtype: True,
    combine=lambda s, total, x: s.bit_and(total, x),
    partial=lambda x, out, axes: None,
    kinds="b",
)


def total(x: Expr, axes: tuple[int, ...]) -> Expr:
    """The sum of numbers, or the disjunction of booleans, along axes."""
    if not axes:
        return x
    return make(reduce_any if x.dtype.kind == "b" else reduce_sum, (x,), (axes,))


def _product_of_others(x: Expr, axes: tuple[int, ...]) -> Expr:
    """For each element the product of all others along the axes, without division.

    Prefix and suffix products by doubling: log2(n) multiplications of whole arrays,
    exact through zeros and at every order.
    """
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    order = (*kept, *axes)
    moved = make(REGISTRY["transpose"], (x,), (order,))
    flat = moved.reshape(*(x.shape[a] for a in kept), -1) if x.size else moved
    if not x.size:
        return full_like(x, 1)
    others = _exclusive_products(flat) * _exclusive_products(flat[..., ::-1])[..., ::-1]
    inverse = tuple(order.index(a) for a in range(x.ndim))
    return make(REGISTRY["transpose"], (others.reshape(moved.shape),), (inverse,))


def _exclusive_products(x: Expr) -> Expr:
    """Along the last axis, the product of all elements before each."""
    n = x.shape[-1]
    result = _shifted(x, 1)
    step = 1
    while step < n:
        result = result * _shifted(result, step)
        step *= 2
    return result


def _shifted(x: Expr, step: int) -> Expr:
    """The last axis moved right by `step`, ones from the left."""
    n = x.shape[-1]
    ones = full_like(x[..., : min(step, n)], 1)
    return make(
        REGISTRY["concatenate"], (ones, x[..., : max(n - step, 0)]), (x.ndim - 1,)
    )
