"""Derivatives at a point as linear maps: vjp and linearize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mgrad import tree
from mgrad.api.memo import memoised
from mgrad.api.names import function_name, leaf_paths
from mgrad.api.select import Args, Kwargs, output, split_aux
from mgrad.api.staged import Staged
from mgrad.errors import ArgumentError, ShapeError
from mgrad.expr import CAPTURED, CONSTANT, Expr, describe, new_input
from mgrad.graph import Graph
from mgrad.primitive import convert, full_like, is_differentiable
from mgrad.transforms.jvp import push_forward
from mgrad.transforms.vjp import pull_back

Function = Callable[..., Any]


def cotangents(graph: Graph, cts: tuple[Expr | None, ...]) -> list[Expr]:
    """The cotangent of each input, zeros where there is none."""
    pulled = pull_back(graph, cts)
    pairs = zip(graph.inputs, pulled, strict=True)
    return [full_like(x, 0) if ct is None else ct for x, ct in pairs]


def shown(structure: tree.TreeDef) -> str:
    """A structure without the name of its class: ({'b': *, 'w': *}, *)."""
    return str(structure).removeprefix("PyTreeSpec(").rsplit(")", 1)[0]


def fitting(given: Any, like: Expr, path: str, what: str) -> Expr | None:
    """A tangent or cotangent of the shape of a value, in its dtype."""
    if not isinstance(given, Expr):
        raise ArgumentError(
            f"{what}: {path} is {given!r:.40}, which is not an array; the value that "
            f"it belongs to is {describe(like)}."
        )
    if given.shape != like.shape:
        raise ShapeError(
            f"{what}: {path} is {describe(given)}, but the value that it belongs to is "
            f"{describe(like)}. They must have the same shape."
        )
    return convert(given, like.dtype) if is_differentiable(like) else None


class LinearMap:
    """The derivative at a point, as a function of tangents or cotangents.

    What it needs from the evaluation at the point is kept in `residuals`, so that a
    call computes only what depends on its argument. `vjp` and `linearize` return it;
    it is a pytree, so that it may be an argument or a result of compiled functions.

    >>> import mgrad as mg
    >>> _, pullback = mg.vjp(lambda x, y: x * y, 2.0, 5.0)
    >>> pullback(1.0)
    (np.float64(5.0), np.float64(2.0))
    """

    def __init__(self, residuals: list[Any], plan: _Plan) -> None:
        self.residuals = residuals
        self.plan = plan

    def __call__(self, *arguments: Any) -> Any:
        return self.plan.staged(tuple(self.residuals), arguments)

    def __repr__(self) -> str:
        return f"<{self.plan.staged._name} at a point, {len(self.residuals)} residuals>"


class _Plan:
    """The static part of a linear map: its graph and the types of its arguments."""

    def __init__(
        self,
        graph: Graph,
        values: tuple[Expr, ...],
        arguments: tree.TreeDef,
        results: tree.TreeDef,
        name: str,
    ) -> None:
        self.graph = graph
        self.values = values
        self.arguments = arguments
        self.results = results
        self.name = name
        self.staged = Staged(self._apply, None, name)
        self.staged._rule = lambda args, kwargs: self._apply(*args, **kwargs)

    def _apply(self, residuals: Args, arguments: Args) -> Any:
        given, structure = tree.flatten(arguments)
        if structure != self.arguments:
            raise ArgumentError(
                f"{self.name} was called with {shown(structure)}, and takes "
                f"{shown(self.arguments)}: the structure of the value that its "
                "argument belongs to."
            )
        paths = leaf_paths(arguments, "arguments")
        fitted = [
            fitting(output(g, self.name), like, path, self.name)
            for g, like, path in zip(given, self.values, paths, strict=True)
        ]
        pairs = zip(fitted, self.values, strict=True)
        full = [full_like(like, 0) if t is None else t for t, like in pairs]
        return tree.unflatten(self.results, self.graph(*residuals, *full))


tree.register(
    LinearMap,
    lambda m: (m.residuals, m.plan),
    lambda plan, residuals: LinearMap(list(residuals), plan),
)


def numeric_leaves(args: Args, what: str) -> tuple[list[Expr], tree.TreeDef]:
    """The leaves of the primals, which must be arrays or numbers."""
    leaves, structure = tree.flatten(args)
    for leaf, path in zip(leaves, leaf_paths(args, "primals"), strict=True):
        if not isinstance(leaf, Expr):
            raise ArgumentError(
                f"{what}: {path} is {leaf!r:.40}, which is not an array. Bind it with "
                "functools.partial or a lambda."
            )
    return leaves, structure


def linear_map(
    late: tuple[Expr, ...],
    outputs: tuple[Expr, ...],
    values: tuple[Expr, ...],
    arguments: tree.TreeDef,
    results: tree.TreeDef,
    name: str,
) -> LinearMap:
    """Outputs as a function of the `late` inputs, all else evaluated beforehand."""
    whole = Graph(late, outputs)
    depends = set(late)
    residuals: dict[Expr, None] = {}
    for node in whole.nodes:
        if not depends.isdisjoint(node.args):
            depends.add(node)
            early = (a for a in node.args if a not in depends)
            residuals.update((a, None) for a in early if not _is_leaf(a))
    residuals.update((y, None) for y in outputs if y not in depends and not _is_leaf(y))
    graph = Graph((*residuals, *late), outputs)
    return LinearMap(list(residuals), _Plan(graph, values, arguments, results, name))


def _is_leaf(node: Expr) -> bool:
    """Cheaper to have than to keep: constants, and broadcasts of them."""
    while len(node.args) == 1 and node.primitive.name == "broadcast_to":
        (node,) = node.args
    return node.primitive in (CONSTANT, CAPTURED) or node.primitive.name == "iota"


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The value of f, and the function from output cotangents to input cotangents.

    (y, ct -> J^T ct) with y = f(x) and the Jacobian J = df/dx at x. The pullback takes
    a cotangent with the structure and shapes of the output and returns a tuple with one
    entry for each primal, in its shape and dtype, zeros for integers. With `has_aux` f
    returns (value, aux) and the result is (value, pullback, aux).

    Raises ArgumentError for a primal that is no array, and for a cotangent of another
    structure; ShapeError for one of another shape.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> y, pullback = mg.vjp(lambda x: np.array([2.0, 3.0]) * x, 5.0)
    >>> y
    array([10., 15.])
    >>> pullback(np.array([1.0, 1.0]))
    (np.float64(5.0),)
    """

    return memoised(f, (has_aux,), _vjp)(*primals)


def _vjp(f: Function, has_aux: bool) -> Staged:
    name = f"the pullback of {function_name(f)}"

    def rule(args: Args, kwargs: Kwargs) -> Any:
        value, aux = split_aux(f(*args), has_aux, "vjp")
        xs, structure = numeric_leaves(args, "vjp")
        outputs, out_structure = tree.flatten(value)
        ys = tuple(output(y, "vjp") for y in outputs)
        cts = tuple(_placeholder(y) for y in ys)
        pulled = cotangents(Graph(tuple(xs), ys), cts)
        one = tree.structure((0,)).compose(out_structure)
        back = linear_map(cts, tuple(pulled), ys, one, structure, name)
        result = (tree.unflatten(out_structure, ys), back)
        return (*result, aux) if has_aux else result

    return Staged(f, rule, "vjp({})")


def linearize(f: Function, *primals: Any) -> tuple[Any, LinearMap]:
    """The value of f, and its derivative there as a function of tangents.

    (y, t -> J t) with y = f(x) and the Jacobian J = df/dx at x. What does not depend on
    the tangents is evaluated once; `jvp` is the cheaper one for a single tangent.

    Raises ArgumentError for a primal that is no array, or tangents of another
    structure; ShapeError for tangents of another shape.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> y, derivative = mg.linearize(lambda x: x**2, 3.0)
    >>> float(y), float(derivative(1.0)), float(derivative(10.0))
    (9.0, 6.0, 60.0)
    """

    result: tuple[Any, LinearMap] = memoised(f, (), _linearize)(*primals)
    return result


def _linearize(f: Function) -> Staged:
    name = f"the derivative of {function_name(f)}"

    def rule(args: Args, kwargs: Kwargs) -> Any:
        outputs, out_structure = tree.flatten(f(*args))
        ys = tuple(output(y, "linearize") for y in outputs)
        xs, structure = numeric_leaves(args, "linearize")
        ts = tuple(_placeholder(x) for x in xs)
        pushed = push_forward(Graph(tuple(xs), ys), ts)
        pairs = zip(ys, pushed, strict=True)
        full = tuple(full_like(y, 0) if t is None else t for y, t in pairs)
        forward = linear_map(ts, full, tuple(xs), structure, out_structure, name)
        return tree.unflatten(out_structure, ys), forward

    return Staged(f, rule, "linearize({})")


def _placeholder(like: Expr) -> Expr:
    """A late input: the argument of a linear map."""
    return new_input(like.dtype, like.shape, like.owner)
