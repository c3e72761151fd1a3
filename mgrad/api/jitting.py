"""jit, stop_gradient, and the graph of a function without running it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from mgrad import tree
from mgrad.api.leaves import ShapeDtype
from mgrad.api.memo import memoised
from mgrad.api.names import function_name, parameter_names
from mgrad.api.staged import Staged
from mgrad.errors import ArgumentError
from mgrad.expr import Expr, make
from mgrad.graph import Graph
from mgrad.primitive import REGISTRY
from mgrad.transforms.simplify import simplify

Function = Callable[..., Any]


def jit(
    f: Function | None = None,
    *,
    static_argnums: int | tuple[int, ...] = (),
    static_argnames: str | tuple[str, ...] = (),
) -> Any:
    """f compiled: traced once for each signature (structure, shapes, dtypes, statics).

    Static arguments are Python values that f may branch on or use as sizes; they must
    be hashable. What f reads from outside (globals, closed-over values, attributes,
    items of lists and dictionaries) is read while tracing; where it has changed, f is
    traced anew. Side effects and random numbers happen while tracing only. Also a
    decorator, with or without arguments. The result has `.explain()`, `.graph(*args)`
    and `.program(*args)`.

    Raises ArgumentError for wrong static_argnums or static_argnames; when called
    DTypeError for an argument that is no array, number or container of them.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> @mg.jit
    ... def double(x):
    ...     return 2 * x
    >>> double(np.array([1.0, 2.0]))
    array([2., 4.])
    >>> power = mg.jit(lambda x, n: x**n, static_argnums=1)
    >>> float(power(3.0, 2))
    9.0
    """
    if f is None:
        return lambda function: jit(
            function, static_argnums=static_argnums, static_argnames=static_argnames
        )
    numbers = _tuple(static_argnums)
    names = _tuple(static_argnames)
    if numbers or names:
        _check_static(f, numbers, names)
    return memoised(f, (numbers, names), _jit)


def _jit(f: Function, numbers: tuple[int, ...], names: tuple[str, ...]) -> Staged:
    return Staged(f, None, "{}", numbers, names)


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _check_static(
    f: Function, numbers: tuple[Any, ...], names: tuple[Any, ...]
) -> None:
    for number in numbers:
        try:
            operator.index(number)
        except TypeError:
            raise ArgumentError(
                f"jit: static_argnums are integers, got {number!r}. Use "
                "static_argnames for names."
            ) from None
    known = parameter_names(f)
    for number in numbers:
        if known and not -len(known) <= number < len(known) and not _takes_any_count(f):
            raise ArgumentError(
                f"jit: static_argnums has {number}, but {function_name(f)} has "
                f"{len(known)} positional parameters: {', '.join(known)}."
            )
    for name in names:
        if not isinstance(name, str):
            raise ArgumentError(f"jit: static_argnames are strings, got {name!r}.")
        if known and name not in known and not _takes_any_name(f, name):
            raise ArgumentError(
                f"jit: static_argnames has {name!r}, but {function_name(f)} has "
                f"no such parameter. Its parameters: {', '.join(known)}."
            )


def _takes_any_count(f: Function) -> bool:
    import inspect

    parameters = inspect.signature(f).parameters.values()
    return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def _takes_any_name(f: Function, name: str) -> bool:
    import inspect

    parameters = inspect.signature(f).parameters
    return name in parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )


def stop_gradient(value: Any) -> Any:
    """The value, as a constant for every derivative; any pytree.

    Shapes and dtypes stay; leaves that are not traced are returned as they are.

    >>> import mgrad as mg
    >>> float(mg.grad(lambda x: x * mg.stop_gradient(x))(3.0))
    3.0
    """

    def stop(leaf: Any) -> Any:
        if not isinstance(leaf, Expr):
            return leaf
        return make(REGISTRY["stop_gradient"], (leaf,), (), leaf.weak)

    return tree.map(stop, value)


def make_graph(f: Function, simplified: bool = True) -> Callable[..., Graph]:
    """A function that returns the expression graph of f for its arguments.

    Arguments may be arrays, numbers, or `ShapeDtype`; f may itself be a transformed
    function. The graph prints, one line for each node. Without `simplified` it is as
    traced: differentiate that one. Nothing is compiled or run. Raises what tracing f
    raises.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> print(mg.make_graph(mg.grad(lambda x: x * x))(3.0))
    graph(a:f64[]):
      b:f64[] = add a a
      return b
    """
    staged = f if isinstance(f, Staged) else jit(f)

    def graph(*args: Any, **kwargs: Any) -> Graph:
        found = staged.graph(*args, **kwargs)
        return simplify(found) if simplified else found

    return graph


def eval_shape(f: Function, *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of the result, without computing it.

    Arguments may be arrays, numbers, or `ShapeDtype`; the result has the structure of
    that of f, with a `ShapeDtype` for each array. Raises what tracing f raises.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.eval_shape(lambda x: x @ x.T, mg.ShapeDtype((2, 5), np.dtype("float32")))
    float32[2,2]
    """
    staged = f if isinstance(f, Staged) else jit(f)
    graph, structure = staged.traced(*args, **kwargs)
    return tree.unflatten(
        structure, [ShapeDtype(y.shape, y.dtype) for y in graph.outputs]
    )
