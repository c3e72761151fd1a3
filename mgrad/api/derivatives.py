"""First derivatives: grad, value_and_grad, elementwise_grad, jvp, vjp, linearize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mgrad import tree
from mgrad.api.linear import cotangents, fitting, shown
from mgrad.api.memo import canonical, memoised
from mgrad.api.names import leaf_paths
from mgrad.api.select import (
    Args,
    Kwargs,
    Selection,
    differentiable_leaves,
    output,
    scalar_loss,
    selection,
    split_aux,
)
from mgrad.api.staged import Staged
from mgrad.errors import ArgumentError
from mgrad.expr import Expr
from mgrad.graph import Graph
from mgrad.primitive import full_like, is_differentiable
from mgrad.transforms.jvp import push_forward

Function = Callable[..., Any]


# --- gradients ------------------------------------------------------------------


def value_and_grad(
    f: Function,
    argnums: int | tuple[int, ...] | None = None,
    argnames: str | tuple[str, ...] | None = None,
    has_aux: bool = False,
) -> Staged:
    """A function that returns the value of f and its gradient, (f(x), df/dx).

    `f` returns one float with one element. `argnums` (by default 0) chooses positional
    arguments and `argnames` arguments by name; a tuple gives a tuple of gradients (a
    dictionary for names; both together a pair). The gradient has the structure, shapes
    and dtypes of the argument, and is zero where f does not depend on it. With
    `has_aux` f returns (value, aux) and the result is ((value, aux), gradient).

    Raises ShapeError if the loss is no scalar, DTypeError for a leaf that is not
    floating-point (it names its path), ArgumentError for wrong argnums or argnames.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> def loss(params, x):
    ...     return np.sum(params["w"] * x)
    >>> value, gradient = mg.value_and_grad(loss)(
    ...     {"w": np.ones(2)}, np.array([1.0, 2.0])
    ... )
    >>> float(value), gradient["w"].tolist()
    (3.0, [1.0, 2.0])
    """
    options = ("value_and_grad", canonical(argnums), canonical(argnames), has_aux)
    return memoised(f, options, _gradient)


def grad(
    f: Function,
    argnums: int | tuple[int, ...] | None = None,
    argnames: str | tuple[str, ...] | None = None,
    has_aux: bool = False,
) -> Staged:
    """A function that returns the gradient of f; `value_and_grad` has the details.

    df/dx in the structure, shapes and dtypes of x, which is the first argument or what
    `argnums` and `argnames` choose. f returns one float. With `has_aux` f returns
    (value, aux) and the result is (gradient, aux). Raises as `value_and_grad` does.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> float(mg.grad(np.sin)(0.0))
    1.0
    >>> mg.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)
    (np.float64(3.0), np.float64(2.0))
    """
    options = ("grad", canonical(argnums), canonical(argnames), has_aux)
    return memoised(f, options, _gradient)


def _gradient(
    f: Function, what: str, argnums: Any, argnames: Any, has_aux: bool
) -> Staged:
    chosen = selection(argnums, argnames, what)

    def rule(args: Args, kwargs: Kwargs) -> Any:
        xs, structure = _chosen_leaves(f, chosen, args, kwargs, what)
        value, aux = split_aux(f(*args, **kwargs), has_aux, what)
        loss = scalar_loss(value, what, f)
        graph = Graph(tuple(xs), (loss,))
        gradient = tree.unflatten(structure, cotangents(graph, (full_like(loss, 1),)))
        if what == "value_and_grad":
            return ((loss, aux) if has_aux else loss), gradient
        return (gradient, aux) if has_aux else gradient

    return Staged(f, rule, what + "({})")


def _chosen_leaves(
    f: Function, chosen: Selection, args: Args, kwargs: Kwargs, what: str
) -> tuple[list[Expr], tree.TreeDef]:
    trees = chosen.trees(f, args, kwargs, what)
    return differentiable_leaves(trees, chosen.roots(f, args, kwargs), what)


def elementwise_grad(f: Function, argnums: int | tuple[int, ...] = 0) -> Staged:
    """The derivative of each output element in the input element at its place.

    d(sum of f)/dx, so right for functions whose output elements each depend on one
    element of the argument: y_i = f(x_i) gives dy_i/dx_i, in the shape of x. `argnums`
    chooses the argument, a tuple of them gives a tuple. Raises as `grad` does, but not
    for an output that is no scalar.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.elementwise_grad(lambda x: x**2)(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    options = (canonical(argnums),)
    return memoised(f, options, _elementwise_grad)


def _elementwise_grad(f: Function, argnums: Any) -> Staged:
    what = "elementwise_grad"
    chosen = selection(argnums, None, what)

    def rule(args: Args, kwargs: Kwargs) -> Any:
        xs, structure = _chosen_leaves(f, chosen, args, kwargs, what)
        ys = [output(y, what) for y in tree.leaves(f(*args, **kwargs))]
        ones = tuple(full_like(y, 1) if is_differentiable(y) else None for y in ys)
        return tree.unflatten(structure, cotangents(Graph(tuple(xs), tuple(ys)), ones))

    return Staged(f, rule, what + "({})")


# --- forward mode -----------------------------------------------------------------


def jvp(f: Function, primals: Args, tangents: Args, has_aux: bool = False) -> Any:
    """The value of f at the primals, and its derivative along the tangents.

    (y, J t) with y = f(x) and the Jacobian J = df/dx at x. Both are tuples with one
    entry for each argument. `tangents` has the structure and shapes of `primals`; None
    stands for the zero tangent of a whole argument. With `has_aux` f returns
    (value, aux) and the result is (y, J t, aux).

    Raises ArgumentError for tangents of another structure, ShapeError for ones of
    another shape.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> y, t = mg.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(y), float(t)
    (9.0, 6.0)
    """
    check_tangents(primals, tangents, "jvp")
    return memoised(f, (has_aux,), _jvp)(tuple(primals), tuple(tangents))


def _jvp(f: Function, has_aux: bool) -> Staged:
    def rule(args: Args, kwargs: Kwargs) -> Any:
        primals, tangents = args
        value, aux = split_aux(f(*primals), has_aux, "jvp")
        outputs, structure = tree.flatten(value)
        ys = tuple(output(y, "jvp") for y in outputs)
        xs, ts = _matched(primals, tangents, "jvp")
        pushed = push_forward(Graph(tuple(xs), ys), ts)
        pairs = zip(ys, pushed, strict=True)
        full = [full_like(y, 0) if t is None else t for y, t in pairs]
        result = (tree.unflatten(structure, ys), tree.unflatten(structure, full))
        return (*result, aux) if has_aux else result

    return Staged(f, rule, "jvp({})", parameters=("primals", "tangents"))


def check_tangents(primals: Any, tangents: Any, what: str) -> None:
    """Raise ArgumentError unless both are tuples of one length."""
    if not (isinstance(primals, (tuple, list)) and isinstance(tangents, (tuple, list))):
        raise ArgumentError(
            f"{what}: primals and tangents must be tuples with one entry for each "
            f"argument; got {type(primals).__name__} and {type(tangents).__name__}. "
            f"Write {what}(f, (x,), (t,))."
        )
    if len(primals) != len(tangents):
        raise ArgumentError(
            f"{what}: {len(primals)} primals but {len(tangents)} tangents. Give one "
            "tangent for each argument, None for zero."
        )


def _matched(
    primals: Args, tangents: Args, what: str
) -> tuple[list[Expr], list[Expr | None]]:
    """Corresponding leaves of primals and tangents, checked."""
    xs: list[Expr] = []
    ts: list[Expr | None] = []
    for number, (x, t) in enumerate(zip(primals, tangents, strict=True)):
        leaves, structure = tree.flatten(x)
        own = [leaf for leaf in leaves if isinstance(leaf, Expr)]
        xs.extend(own)
        if t is None:
            ts.extend([None] * len(own))
            continue
        given, given_structure = tree.flatten(t)
        if given_structure != structure:
            raise ArgumentError(
                f"{what}: tangents[{number}] has the structure {shown(given_structure)}"
                f", but the argument has {shown(structure)}. Give a tangent for each "
                "leaf, shaped as it is."
            )
        paths = leaf_paths(x, f"tangents[{number}]")
        for leaf, tangent, path in zip(leaves, given, paths, strict=True):
            if isinstance(leaf, Expr):
                ts.append(fitting(tangent, leaf, path, what))
    return xs, ts
