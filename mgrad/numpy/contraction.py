"""Products with sums: matmul and its relatives, as contractions of two operands."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr, describe, make
from mgrad.graph import origin
from mgrad.numpy.arguments import as_node, canonical_axes, fail, public, refuse_option
from mgrad.numpy.joining import stack
from mgrad.numpy.operators import multiply
from mgrad.numpy.reductions import reduce
from mgrad.numpy.shaping import moveaxis
from mgrad.primitive import ALPHABET, as_expr, convert, result_type
from mgrad.primitives import contraction, reduction
from mgrad.primitives.movement import reshape_to

BOOL, INT64 = np.dtype("bool"), np.dtype("int64")


def contract(x: Expr, xs: str, y: Expr, ys: str, out: str) -> Expr:
    """sum of x y over the letters that `out` lacks; extents of 1 broadcast."""
    dtype = result_type(x, y)
    if dtype == BOOL:
        return contract(convert(x, INT64), xs, convert(y, INT64), ys, out) != 0
    x, y = as_expr(x, dtype), as_expr(y, dtype)
    x, xs = _sum_alone(*_drop_ones(x, xs, y, ys), ys + out)
    y, ys = _sum_alone(*_drop_ones(y, ys, x, xs), xs + out)
    present = "".join(c for c in out if c in xs or c in ys)
    return make(contraction.contract, (x, y), (xs, ys, present))


def _drop_ones(x: Expr, xs: str, y: Expr, ys: str) -> tuple[Expr, str]:
    """Without the axes of extent 1 that meet a longer one in y."""
    extents = dict(zip(ys, y.shape, strict=True))
    kept = [i for i, c in enumerate(xs) if not (x.shape[i] == 1 != extents.get(c, 1))]
    shape = tuple(x.shape[i] for i in kept)
    return reshape_to(x, shape), "".join(xs[i] for i in kept)


def _sum_alone(x: Expr, xs: str, needed: str) -> tuple[Expr, str]:
    """Summed over the letters that nothing else has."""
    axes = tuple(i for i, c in enumerate(xs) if c not in needed)
    if not axes:
        return x, xs
    left = "".join(c for c in xs if c in needed)
    return reduce(reduction.reduce_sum, x, axes, False), left


@public(np.matmul, np.linalg.matmul)
def matmul(x1: Any, x2: Any, /, **options: Any) -> Expr:
    """Matrix products over the last two axes, broadcast over the others."""
    _plain("matmul", options)
    x, y = as_node(x1), as_node(x2)
    if x.ndim == 0 or y.ndim == 0:
        fail(
            ShapeError,
            "matmul",
            f"the operands need an axis at least, got {origin(x)} and {origin(y)}. "
            "Use * to multiply by a scalar.",
        )
    shared = ALPHABET[0]
    row = ALPHABET[1] if x.ndim > 1 else ""
    column = ALPHABET[2] if y.ndim > 1 else ""
    xs = _batch_letters(x.ndim - 2) + row + shared
    ys = _batch_letters(y.ndim - 2) + shared + column
    _agree("matmul", x, xs, y, ys, shared)
    batch = _batch_letters(max(x.ndim, y.ndim) - 2)
    return contract(x, xs, y, ys, batch + row + column)


def _plain(name: str, options: dict[str, Any]) -> None:
    for option in set(options) - {"out", "casting", "order", "subok"}:
        refuse_option(name, f"{option}=", "Move the axes with np.moveaxis first.")


def _batch_letters(count: int) -> str:
    """Letters for leading axes, the last one always the same: they align right."""
    letters = ALPHABET[3:]
    if count > len(letters):
        fail(ShapeError, "matmul", f"too many axes: at most {len(letters)} batch axes.")
    return letters[:count][::-1] if count > 0 else ""


def _agree(name: str, x: Expr, xs: str, y: Expr, ys: str, strict: str) -> None:
    """Equal extents for equal letters; batch letters may have 1."""
    extents = dict(zip(xs, x.shape, strict=True))
    for c, n in zip(ys, y.shape, strict=True):
        m = extents.get(c, n)
        if n != m and (c in strict or 1 not in (n, m)):
            i, j = xs.index(c) - len(xs), ys.index(c) - len(ys)
            fail(
                ShapeError,
                name,
                f"the operands do not fit: {origin(x)} and {origin(y)}; axis {i} of "
                f"the first has {m} elements and axis {j} of the second {n}; they must "
                "be equal. Transpose or reshape one of them.",
            )


def _paired(name: str, x: Expr, xs: str, y: Expr, ys: str, out: str) -> Expr:
    _agree(name, x, xs, y, ys, xs)
    return contract(x, xs, y, ys, out)


@public(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Expr:
    """The sum over the last axis of a and the second to last of b."""
    x, y = as_node(a), as_node(b)
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    shared, rest = ALPHABET[0], ALPHABET[1:]
    xs = rest[: x.ndim - 1] + shared
    free = rest[x.ndim - 1 : x.ndim + y.ndim - 2]
    ys = free[:-1] + shared + free[-1:]
    return _paired("dot", x, xs, y, ys, xs[:-1] + free)


@public(np.vdot)
def vdot(a: Any, b: Any, /) -> Expr:
    """The sum of products of all elements."""
    x, y = as_node(a), as_node(b)
    return _paired(
        "vdot", reshape_to(x, (x.size,)), "a", reshape_to(y, (y.size,)), "a", ""
    )


@public(np.inner)
def inner(a: Any, b: Any, /) -> Expr:
    """The sum over the last axes."""
    x, y = as_node(a), as_node(b)
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    shared, rest = ALPHABET[0], ALPHABET[1:]
    xs = rest[: x.ndim - 1]
    ys = rest[x.ndim - 1 : x.ndim + y.ndim - 2]
    return _paired("inner", x, xs + shared, y, ys + shared, xs + ys)


@public(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Expr:
    """Products of all pairs of elements."""
    x, y = as_node(a), as_node(b)
    return multiply(reshape_to(x, (x.size, 1)), reshape_to(y, (1, y.size)))


@public(np.linalg.outer, name="linalg.outer")
def linalg_outer(x1: Any, x2: Any, /) -> Expr:
    """Products of all pairs of elements of two vectors."""
    x, y = as_node(x1), as_node(x2)
    if x.ndim != 1 or y.ndim != 1:
        fail(
            ShapeError, "linalg.outer", f"takes vectors, got {origin(x)}, {origin(y)}."
        )
    return outer(x, y)


@public(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Expr:
    """The sum over pairs of axes."""
    x, y = as_node(a), as_node(b)
    first, second = _tensordot_axes(x, y, axes)
    letters = iter(ALPHABET)
    xs = [next(letters) for _ in range(x.ndim)]
    ys = [next(letters) for _ in range(y.ndim)]
    for i, j in zip(first, second, strict=True):
        ys[j] = xs[i]
    out = [c for c in xs if c not in ys] + [c for c in ys if c not in xs]
    return _paired("tensordot", x, "".join(xs), y, "".join(ys), "".join(out))


@public(np.linalg.tensordot, name="linalg.tensordot")
def linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Expr:
    """The sum over pairs of axes."""
    return tensordot(x1, x2, axes)


def _tensordot_axes(x: Expr, y: Expr, axes: Any) -> tuple[Sequence[int], Sequence[int]]:
    if isinstance(axes, (int, np.integer)):
        count = int(axes)
        if count > min(x.ndim, y.ndim):
            fail(
                ShapeError,
                "tensordot",
                f"axes={count} is more than {describe(x)} or {describe(y)} have.",
            )
        return range(x.ndim - count, x.ndim), range(count)
    first, second = (
        canonical_axes(tuple(np.atleast_1d(side).tolist()), node.ndim, "tensordot")
        for side, node in zip(axes, (x, y), strict=True)
    )
    if len(first) != len(second):
        fail(ShapeError, "tensordot", f"axes={axes} must pair the axes one to one.")
    return first, second


def _row_products(name: str, letters: tuple[str, str, str], *functions: Any) -> Any:
    """vecdot, matvec, vecmat: fixed letters after broadcast batch axes."""

    def function(x1: Any, x2: Any, /, **options: Any) -> Expr:
        axis = options.pop("axis", -1)
        _plain(name, options)
        x, y = as_node(x1), as_node(x2)
        if axis != -1:
            x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
        own = [len(core) for core in letters[:2]]
        if x.ndim < own[0] or y.ndim < own[1]:
            fail(
                ShapeError,
                name,
                f"needs {own[0]} and {own[1]} axes at least, got {origin(x)} and "
                f"{origin(y)}.",
            )
        xs = _batch_letters(x.ndim - own[0]) + letters[0]
        ys = _batch_letters(y.ndim - own[1]) + letters[1]
        _agree(name, x, xs, y, ys, "abc")
        batch = _batch_letters(max(x.ndim - own[0], y.ndim - own[1]))
        return contract(x, xs, y, ys, batch + letters[2])

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return public(*functions, name=name)(function)


vecdot = _row_products("vecdot", ("a", "a", ""), np.vecdot, np.linalg.vecdot)
if hasattr(np, "matvec"):
    matvec = _row_products("matvec", ("ba", "a", "b"), np.matvec)
    vecmat = _row_products("vecmat", ("a", "ac", "c"), np.vecmat)


@public(np.kron)
def kron(a: Any, b: Any) -> Expr:
    """The Kronecker product."""
    x, y = as_node(a), as_node(b)
    rank = max(x.ndim, y.ndim)
    xs = (1,) * (rank - x.ndim) + x.shape
    ys = (1,) * (rank - y.ndim) + y.shape
    left = reshape_to(x, tuple(m for n in xs for m in (n, 1)))
    right = reshape_to(y, tuple(m for n in ys for m in (1, n)))
    product = multiply(left, right)
    return reshape_to(product, tuple(n * m for n, m in zip(xs, ys, strict=True)))


@public(np.linalg.multi_dot, name="linalg.multi_dot")
def multi_dot(arrays: Any, *, out: Any = None) -> Expr:
    """The product of several matrices, in the cheapest order."""
    nodes = [as_node(a) for a in arrays]
    if len(nodes) < 2:
        fail(
            ShapeError,
            "linalg.multi_dot",
            f"needs two arrays at least, got {len(nodes)}.",
        )
    first, last = nodes[0].ndim == 1, nodes[-1].ndim == 1
    ends = [("" if first else "a"), *ALPHABET[1 : len(nodes)], ("" if last else "z")]
    letters = [ends[i] + ends[i + 1] for i in range(len(nodes))]
    for node, own in zip(nodes, letters, strict=True):
        if node.ndim != len(own):
            fail(ShapeError, "linalg.multi_dot", f"takes matrices, got {origin(node)}.")
    for k in range(len(nodes) - 1):
        shared = ends[k + 1]
        _agree(
            "linalg.multi_dot",
            nodes[k],
            letters[k],
            nodes[k + 1],
            letters[k + 1],
            shared,
        )
    from mgrad.numpy.einsum import einsum

    return einsum(",".join(letters) + "->" + ends[0] + ends[-1], *nodes)


@public(np.linalg.matrix_power, name="linalg.matrix_power")
def matrix_power(a: Any, n: int) -> Expr:
    """A square matrix to a power >= 0, by squaring."""
    x = as_node(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        fail(
            ShapeError,
            "linalg.matrix_power",
            f"takes square matrices, got {origin(x)}.",
        )
    if n < 0:
        refuse_option("linalg.matrix_power", f"n={n}", "Invert the matrix first.")
    result: Expr | None = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    if result is None:
        return convert(x * 0 + np.eye(x.shape[-1]), x.dtype)
    return result


@public(np.cross)
def cross(
    a: Any,
    b: Any,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Expr:
    """The vector product of vectors of 3 elements."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(as_node(a), axisa, -1), moveaxis(as_node(b), axisb, -1)
    if (x.shape[-1], y.shape[-1]) != (3, 3):
        fail(
            ShapeError,
            "cross",
            f"takes vectors of 3 elements, got {origin(x)} and {origin(y)}. In the "
            "plane use x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0].",
        )
    parts = [
        x[..., (i + 1) % 3] * y[..., (i + 2) % 3]
        - x[..., (i + 2) % 3] * y[..., (i + 1) % 3]
        for i in range(3)
    ]
    return stack(parts, axis=axisc)


@public(np.linalg.cross, name="linalg.cross")
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Expr:
    """The vector product."""
    return cross(x1, x2, axis=axis)
