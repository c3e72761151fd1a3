"""Public functions that trace when an argument is traced and call NumPy otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from mgrad.expr import Expr
from mgrad.numpy.arguments import as_node, canonical_shape, public
from mgrad.primitive import as_expr, broadcast_to, convert, is_traced
from mgrad.protocols import FUNCTIONS, NAMESPACE

HIDDEN = frozenset("put place putmask copyto fill_diagonal put_along_axis".split())


def dispatched(
    implementation: Callable[..., Any], otherwise: Callable[..., Any]
) -> Any:
    """`implementation` if an Expr is among the arguments, else `otherwise`."""

    @functools.wraps(implementation)
    def function(*args: Any, **kwargs: Any) -> Any:
        traced = is_traced(args) or any(map(is_traced, kwargs.values()))
        return (implementation if traced else otherwise)(*args, **kwargs)

    if isinstance(otherwise, np.ufunc):
        for method in ("reduce", "accumulate", "outer"):
            setattr(function, method, getattr(otherwise, method))
    return function


def namespace(module: Any) -> dict[str, Any]:
    """The functions of a NumPy module that have an implementation, dispatched."""
    found = {}
    for name, function in vars(module).items():  # dir() would import submodules
        implementation = FUNCTIONS.get(function) if callable(function) else None
        if implementation is not None and name not in HIDDEN:
            found[name] = dispatched(implementation, function)
    return found


def beyond_numpy() -> dict[str, Any]:
    """What NumPy lacks: SciPy's log-sum-exp family, which its own protocol hides."""
    names = ("logsumexp", "softmax", "log_softmax")
    return {n: dispatched(NAMESPACE[n], _of_scipy(n)) for n in names}


def _of_scipy(name: str) -> Callable[..., Any]:
    """A function of `scipy.special`, imported when it is first called."""

    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module("scipy.special"), name)(*args, **kwargs)

    return function


@public(name="array")
def _array(object: Any, dtype: Any = None, **_: Any) -> Expr:
    """Nested lists of traced values, stacked."""
    node = as_node(object)
    return node if dtype is None else convert(node, dtype)


@public(name="full")
def _full(shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Expr:
    """An array of a shape, filled with a traced value."""
    node = as_node(fill_value)
    node = node if dtype is None else as_expr(node, np.dtype(dtype))
    return broadcast_to(node, canonical_shape(shape, "full"))


def constructors() -> dict[str, Any]:
    """Functions that NumPy does not dispatch, for traced contents."""
    return {
        "array": dispatched(_array, np.array),
        "asarray": dispatched(_array, np.asarray),
        "full": dispatched(_full, np.full),
    }
