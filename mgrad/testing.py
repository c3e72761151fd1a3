"""Checks of derivatives against finite differences, for tests of your own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mgrad import tree
from mgrad.api import jit, jvp, vjp
from mgrad.api.names import function_name
from mgrad.api.staged import Staged
from mgrad.errors import ArgumentError, GradientError
from mgrad.expr import Expr, format_source, make, new_input
from mgrad.graph import Graph
from mgrad.primitive import Primitive
from mgrad.transforms.evaluate import compute, evaluate
from mgrad.transforms.jvp import jvp as jvp_graph
from mgrad.transforms.vjp import vjp as vjp_graph

__all__ = ["check_grads", "finite_difference_grad", "numerical_jvp"]

Function = Callable[..., Any]

_EPS = {"d": 6e-6, "f": 5e-3}
_TOLERANCE = {"d": 1e-6, "f": 3e-2}


class Accuracy(NamedTuple):
    """Step and tolerances, None for the default of the dtype."""

    rtol: float | None
    atol: float | None
    eps: float | None

    def agree(self, found: Any, wanted: Any, char: str) -> bool:
        """Whether a derivative is as near to the finite difference as it must be."""
        default = _TOLERANCE[char]
        rtol = default if self.rtol is None else self.rtol
        atol = default if self.atol is None else self.atol
        return bool(np.allclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True))


# --- finite differences -----------------------------------------------------------


def numerical_jvp(
    f: Function,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    eps: float | None = None,
) -> Any:
    """The derivative of f along the tangents by a central difference.

    (f(x + eps t) - f(x - eps t)) / (2 eps), with an error of order eps^2. `primals` and
    `tangents` are tuples of arguments, any pytrees; the result has the structure of
    that of f. Integer leaves do not move. `eps` is 6e-6, and 5e-3 if float32 occurs.

    >>> import numpy as np
    >>> round(float(numerical_jvp(np.sin, (0.0,), (2.0,))), 6)
    2.0
    """
    leaves, structure = tree.flatten(tuple(primals))
    directions = tree.leaves(tuple(tangents))
    arrays = [np.asarray(leaf) for leaf in leaves]
    step = eps or _EPS[_coarsest(arrays)]

    def at(offset: float) -> list[np.ndarray]:
        moved = [
            (x + offset * np.asarray(t)).astype(x.dtype)
            if x.dtype.kind == "f"
            else leaf
            for x, t, leaf in zip(arrays, directions, leaves, strict=True)
        ]
        return [
            np.asarray(y) for y in tree.leaves(f(*tree.unflatten(structure, moved)))
        ]

    up, down = at(step), at(-step)
    slopes = [
        ((a.astype(float) - b.astype(float)) / (2 * step)).astype(a.dtype)
        if a.dtype.kind == "f"
        else np.zeros_like(a)
        for a, b in zip(up, down, strict=True)
    ]
    result = f(*primals)
    return tree.unflatten(tree.structure(result), slopes)


def finite_difference_grad(
    f: Function, argnums: int = 0, eps: float | None = None
) -> Function:
    """A function that returns the gradient of scalar f by central differences.

    `argnums` is the position of the argument, any pytree; its leaves are varied as
    float64. Two calls of f for each element; right to about 1e-9.

    >>> import numpy as np
    >>> finite_difference_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0])).round(6)
    array([2., 4.])
    """

    def gradient(*args: Any) -> Any:
        leaves, structure = tree.flatten(args[argnums])
        arrays = [np.asarray(leaf, dtype=float) for leaf in leaves]

        def partial(position: int, index: tuple[int, ...]) -> float:
            step = eps or _EPS["d"]

            def value(offset: float) -> float:
                moved = list(arrays)
                moved[position] = arrays[position].copy()
                moved[position][index] += offset
                changed = list(args)
                changed[argnums] = tree.unflatten(structure, moved)
                return float(np.asarray(f(*changed)).reshape(()))

            return (value(step) - value(-step)) / (2 * step)

        slopes = []
        for position, x in enumerate(arrays):
            slope = np.empty_like(x)
            for index in np.ndindex(x.shape):
                slope[index] = partial(position, index)
            slopes.append(slope[()] if x.shape == () else slope)
        return tree.unflatten(structure, slopes)

    return gradient


# --- check_grads ------------------------------------------------------------------


def check_grads(
    f: Function,
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> None:
    """Compare the derivatives of f at args with central finite differences.

    `args` is a tuple of arrays, numbers or pytrees. Both modes are tried along random
    directions, and against each other, up to the given order. Integer leaves are held
    fixed. Tolerances and step `eps` have defaults for each dtype. Raises GradientError
    (an AssertionError) with both numbers, and with the name and line of the primitive
    whose rule disagrees if one does; ArgumentError for unknown modes and for arguments
    without a float.

    >>> import numpy as np
    >>> check_grads(lambda x: np.sum(np.sin(x) * x), (np.array([0.5, 2.0]),))
    """
    if not isinstance(args, (tuple, list)):
        raise ArgumentError(
            f"check_grads: args must be a tuple of the arguments of f, got "
            f"{type(args).__name__}. Write check_grads(f, (x,))."
        )
    unknown = set(modes) - {"forward", "reverse"}
    if unknown or not modes:
        raise ArgumentError(
            f"check_grads: modes are 'forward' and 'reverse', got {tuple(modes)!r}."
        )
    moving, xs = _float_part(f, tuple(args))
    if not xs:
        raise ArgumentError(
            "check_grads: no argument has a floating-point leaf to vary."
        )
    accuracy = Accuracy(rtol, atol, eps)
    rng = np.random.default_rng(seed)
    _check(moving, xs, order, tuple(modes), accuracy, rng, function_name(f), "")


def _float_part(
    f: Function, args: tuple[Any, ...]
) -> tuple[Function, list[np.ndarray]]:
    """f as a function of its floating-point leaves, returning its float outputs."""
    leaves, structure = tree.flatten(args)
    arrays = [np.asarray(leaf) if _is_float(leaf) else None for leaf in leaves]

    def moving(*xs: Any) -> tuple[Any, ...]:
        values = iter(xs)
        full = [
            leaf if array is None else next(values)
            for leaf, array in zip(leaves, arrays, strict=True)
        ]
        outputs = tree.leaves(f(*tree.unflatten(structure, full)))
        return tuple(y for y in outputs if _is_float(y))

    return moving, [array for array in arrays if array is not None]


def _is_float(leaf: Any) -> bool:
    dtype = leaf.dtype if isinstance(leaf, Expr) else getattr(leaf, "dtype", None)
    return isinstance(leaf, float) if dtype is None else dtype.kind == "f"


def _check(
    f: Function,
    xs: list[np.ndarray],
    order: int,
    modes: tuple[str, ...],
    accuracy: Accuracy,
    rng: np.random.Generator,
    name: str,
    path: str,
) -> None:
    """Order 1 of f in each mode, then the same of its derivatives."""
    f = jit(f)
    outputs = f(*xs)
    ts = [_direction(x, rng) for x in xs]
    cts = [_direction(y, rng) for y in outputs]
    char = _coarsest([*xs, *map(np.asarray, outputs)])
    slopes = numerical_jvp(f, xs, ts, accuracy.eps)
    wanted = _dot(cts, slopes)
    for mode in modes:
        label = f"{path} {mode}".strip()
        if mode == "forward":
            found = jvp(f, tuple(xs), tuple(ts))[1]
            bad = _first_disagreement(found, slopes, accuracy, char)
        else:
            pulled = vjp(f, *xs)[1](tuple(cts))
            number = _dot(pulled, ts)
            scale = max(1.0, _dot(map(np.abs, pulled), map(np.abs, ts)))
            near = accuracy.agree(number / scale, wanted / scale, char)
            bad = None if near else (number, wanted)
        if bad is not None:
            raise _disagreement(f, xs, name, label, bad, accuracy)
        if order > 1:
            derivative = _derivative(f, mode, ts, cts)
            _check(derivative, xs, order - 1, modes, accuracy, rng, name, label + " of")


def _derivative(
    f: Function, mode: str, ts: list[np.ndarray], cts: list[np.ndarray]
) -> Function:
    if mode == "forward":
        return lambda *xs: jvp(f, xs, tuple(ts))[1]
    return lambda *xs: vjp(f, *xs)[1](tuple(cts))


def _direction(like: Any, rng: np.random.Generator) -> np.ndarray:
    like = np.asarray(like)
    return np.asarray(
        rng.uniform(0.5, 1.5, like.shape) * rng.choice([-1, 1], like.shape)
    ).astype(like.dtype)


def _dot(xs: Any, ys: Any) -> float:
    pairs = zip(xs, ys, strict=True)
    return float(sum(np.sum(np.multiply(x, y, dtype=float)) for x, y in pairs))


def _coarsest(arrays: Sequence[Any]) -> str:
    return "f" if any(np.asarray(a).dtype.char == "f" for a in arrays) else "d"


def _first_disagreement(
    found: Sequence[Any], wanted: Sequence[Any], accuracy: Accuracy, char: str
) -> tuple[Any, Any] | None:
    for a, b in zip(found, wanted, strict=True):
        if not accuracy.agree(a, b, char):
            return a, b
    return None


def _disagreement(
    f: Function,
    xs: list[np.ndarray],
    name: str,
    label: str,
    numbers: tuple[Any, Any],
    accuracy: Accuracy,
) -> GradientError:
    found, wanted = numbers
    message = (
        f"{name}: the {label} derivative disagrees with finite differences: "
        f"{_shown(found)} against {_shown(wanted)}."
    )
    culprit = next(wrong_rules(f, xs, accuracy), None)
    if culprit is None:
        return GradientError(
            f"{message} Every primitive's own rule agrees, so the function may not be "
            "smooth here, or the step or tolerance may not suit it."
        )
    return GradientError(f"{message} {culprit}")


def _shown(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=8, threshold=8)


# --- finding the rule -----------------------------------------------------------------


def wrong_rules(f: Function, xs: Sequence[Any], accuracy: Accuracy) -> Iterator[str]:
    """Each primitive of f whose own rule disagrees at the operands it gets here."""
    staged = f if isinstance(f, Staged) else jit(f)
    graph = staged.graph(*xs)
    values: dict[Expr, Any] = dict(zip(graph.inputs, xs, strict=True))
    rng = np.random.default_rng(1)
    for node in graph.nodes:
        if node in values:
            continue
        operands = [values[arg] for arg in node.args]
        values[node] = compute(node, operands)
        if isinstance(node.primitive, Primitive) and node.dtype.kind == "f":
            yield from _check_rule(node, operands, accuracy, rng)


def _check_rule(
    node: Expr, operands: list[Any], accuracy: Accuracy, rng: np.random.Generator
) -> Iterator[str]:
    inputs = tuple(new_input(a.dtype, a.shape) for a in node.args)
    graph = Graph(inputs, (make(node.primitive, inputs, node.params),))
    if not any(x.dtype.kind == "f" for x in inputs):
        return
    operands = [np.asarray(x) for x in operands]
    ts = [
        _direction(x, rng) if x.dtype.kind == "f" else np.zeros_like(x)
        for x in operands
    ]
    ct = _direction(np.zeros(node.shape, node.dtype), rng)
    char = _coarsest([ct, *operands])
    (slope,) = numerical_jvp(
        lambda *xs: evaluate(graph, xs), operands, ts, accuracy.eps
    )
    pushed = evaluate(jvp_graph(graph), [*operands, *ts])[1]
    pulled = evaluate(vjp_graph(graph), [*operands, ct])
    results = (
        ("jvp", pushed, slope),
        ("vjp", np.asarray(_dot(pulled, ts)), np.asarray(_dot([ct], [slope]))),
    )
    for rule, found, wanted in results:
        if not accuracy.agree(found, wanted, char):
            yield (
                f"The {rule} rule of the primitive '{node.primitive.name}', used at "
                f"{format_source(node.where)}, gives {_shown(found)} where finite "
                f"differences give {_shown(wanted)}."
            )
