"""Derivatives of arrays in arrays: Jacobians, Hessians, Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mgrad import tree
from mgrad.api.batching import moved
from mgrad.api.derivatives import check_tangents, grad, jvp
from mgrad.api.linear import cotangents
from mgrad.api.memo import canonical, memoised
from mgrad.api.select import (
    Args,
    Kwargs,
    differentiable_leaves,
    output,
    selection,
    split_aux,
)
from mgrad.api.staged import Staged
from mgrad.errors import DTypeError
from mgrad.expr import Expr, constant, describe, make, new_input
from mgrad.graph import Graph, substitute
from mgrad.primitive import (
    REGISTRY,
    batch_broadcast,
    broadcast_to,
    convert,
    is_differentiable,
)
from mgrad.primitives.movement import reshape_to
from mgrad.transforms.jvp import push_forward
from mgrad.transforms.vmap import batch

Function = Callable[..., Any]
Columns = Callable[[list[Expr], list[Expr]], list[list[Expr]]]


def jacrev(f: Function, argnums: Any = 0, has_aux: bool = False) -> Staged:
    """The Jacobian of f by reverse mode: one pullback for each output element.

    J[i, j] = dy_i / dx_j: each leaf of the result has the shape
    (*output.shape, *input.shape); the structure is that of the output with the
    structure of the argument in its leaves. With `has_aux` f returns (value, aux) and
    the result is (J, aux).

    Raises DTypeError for an argument or output that is not floating-point,
    ArgumentError for wrong argnums.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.jacrev(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    options = ("jacrev", canonical(argnums), has_aux, _reverse)
    return memoised(f, options, _jacobian)


def jacfwd(f: Function, argnums: Any = 0, has_aux: bool = False) -> Staged:
    """The Jacobian of f by forward mode: one tangent for each input element.

    The result, its options and errors are those of `jacrev`; this is the cheaper one
    for few inputs.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.jacfwd(lambda t: np.stack([np.cos(t), np.sin(t)]))(0.0)
    array([-0.,  1.])
    """
    options = ("jacfwd", canonical(argnums), has_aux, _forward)
    return memoised(f, options, _jacobian)


def jacobian(f: Function, argnums: Any = 0, has_aux: bool = False) -> Staged:
    """The Jacobian of f: forward mode for fewer inputs than outputs, else reverse.

    The result, its options and errors are those of `jacrev`.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> mg.jacobian(lambda x: a @ x)(np.ones(2))
    array([[1., 2.],
           [3., 4.]])
    """
    options = ("jacobian", canonical(argnums), has_aux, _cheaper)
    return memoised(f, options, _jacobian)


def hessian(f: Function, argnums: Any = 0) -> Staged:
    """The matrix of second derivatives, forward over reverse.

    H[i, j] = d^2 f / dx_i dx_j, of the shape (*f.shape, *x.shape, *x.shape) for each
    leaf, in the structure of the argument twice. Raises as `jacrev` does.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 2.0]))
    array([[0., 4.],
           [4., 2.]])
    """
    return jacfwd(jacrev(f, argnums), argnums)


def hvp(f: Function, primals: Args, tangents: Args) -> Any:
    """The Hessian of a scalar function times a vector, without the Hessian.

    H t = d/de grad f(x + e t) at e = 0. `primals` and `tangents` are tuples, as in
    `jvp`. For one primal the result has its structure, for several it is a tuple.
    Raises as `grad` and `jvp` do.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    array([6., 0.])
    """
    check_tangents(primals, tangents, "hvp")
    count = len(primals)
    gradient = grad(f, argnums=0 if count == 1 else tuple(range(count)))
    return jvp(gradient, primals, tangents)[1]


def _jacobian(
    f: Function, what: str, argnums: Any, has_aux: bool, columns: Columns
) -> Staged:
    chosen = selection(argnums, None, what)

    def rule(args: Args, kwargs: Kwargs) -> Any:
        trees = chosen.trees(f, args, kwargs, what)
        roots = chosen.roots(f, args, kwargs)
        xs, structure = differentiable_leaves(trees, roots, what)
        value, aux = split_aux(f(*args, **kwargs), has_aux, what)
        outputs, out_structure = tree.flatten(value)
        ys = [_float_output(y, what) for y in outputs]
        rows = [tree.unflatten(structure, row) for row in columns(xs, ys)]
        result = tree.unflatten(out_structure, rows)
        return (result, aux) if has_aux else result

    return Staged(f, rule, what + "({})")


def _float_output(value: Any, what: str) -> Expr:
    node = output(value, what)
    if not is_differentiable(node):
        raise DTypeError(
            f"{what}: an output is {describe(node)}, and only floating-point numbers "
            "have derivatives. Convert it with .astype(np.float64), or return it as "
            "auxiliary value with has_aux=True."
        )
    return node


def _cheaper(xs: list[Expr], ys: list[Expr]) -> list[list[Expr]]:
    inputs, outputs = sum(x.size for x in xs), sum(y.size for y in ys)
    return _forward(xs, ys) if inputs < outputs else _reverse(xs, ys)


def _reverse(xs: list[Expr], ys: list[Expr]) -> list[list[Expr]]:
    """For each output the Jacobian in each input."""
    return [_pulled_basis(xs, y) for y in ys]


def _pulled_basis(xs: Sequence[Expr], y: Expr) -> list[Expr]:
    ct = new_input(y.dtype, y.shape, y.owner)
    pulled = cotangents(Graph(tuple(xs), (y,)), (ct,))
    rows = _over_basis(ct, pulled)
    pairs = zip(rows, xs, strict=True)
    return [reshape_to(row, (*y.shape, *x.shape)) for row, x in pairs]


def _forward(xs: list[Expr], ys: list[Expr]) -> list[list[Expr]]:
    """For each output the Jacobian in each input."""
    columns = [_pushed_basis(xs, i, ys) for i in range(len(xs))]
    return [[column[j] for column in columns] for j in range(len(ys))]


def _pushed_basis(xs: list[Expr], position: int, ys: list[Expr]) -> list[Expr]:
    x = xs[position]
    t = new_input(x.dtype, x.shape, x.owner)
    tangents = [t if i == position else None for i in range(len(xs))]
    pushed = push_forward(Graph(tuple(xs), tuple(ys)), tangents)
    pairs = zip(ys, pushed, strict=True)
    full = [
        broadcast_to(constant(0, y.dtype), y.shape) if p is None else p
        for y, p in pairs
    ]
    columns = _over_basis(t, full)
    return [
        reshape_to(moved(column, 0, y.ndim), (*y.shape, *x.shape))
        for column, y in zip(columns, ys, strict=True)
    ]


def _over_basis(argument: Expr, results: Sequence[Expr]) -> list[Expr]:
    """Results linear in the argument, for each element of its basis: axis 0."""
    size = argument.size
    basis = reshape_to(identity(size, argument.dtype), (size, *argument.shape))
    inputs, outputs, flags = batch(Graph((argument,), tuple(results)), [True], size)
    values = substitute(outputs, {inputs[0]: basis})
    return [
        value if flag else batch_broadcast(value, size)
        for value, flag in zip(values, flags, strict=True)
    ]


def identity(size: int, dtype: np.dtype) -> Expr:
    """The identity matrix, computed where it is used."""
    rows = make(REGISTRY["iota"], (), ((size,), "int64"))
    shape = (size, size)
    columns = broadcast_to(rows, shape)
    same = make(
        REGISTRY["equal"], (broadcast_to(reshape_to(rows, (size, 1)), shape), columns)
    )
    return convert(same, dtype)
