"""One wrapper for each function and options, alive as long as the function.

`mg.grad(loss)` written afresh in a loop must find its compiled programs again. The
table stands in the function's own `__dict__`, so that both are freed together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from types import FunctionType, MethodType
from typing import Any, TypeVar

import numpy as np

from mgrad.api.leaves import exact_key

Wrapper = TypeVar("Wrapper")

_NAME = "__mgrad_memo__"


class _Memo:
    """The wrappers of one function; a copy of its `__dict__` does not count."""

    __slots__ = ("owner", "table")

    def __init__(self, owner: int = 0) -> None:
        self.owner = owner
        self.table: dict[Hashable, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Memo, ()


def memoised(
    function: Any, options: tuple[Hashable, ...], create: Callable[..., Wrapper]
) -> Wrapper:
    """The wrapper `create(function, *options)`, made once where it can be kept."""
    found = _table(function)
    if found is None:
        return create(function, *options)
    table, bound = found
    key = (create, options, bound)
    try:
        wrapper: Wrapper | None = table.get(key)
    except TypeError:  # options of a wrong type: `create` says which
        return create(function, *options)
    if wrapper is None:
        wrapper = table.setdefault(key, create(function, *options))
    return wrapper


def canonical(choice: Any) -> Any:
    """Lists of argnums or argnames as the tuples that can be keys."""
    return tuple(choice) if isinstance(choice, list) else choice


def _table(function: Any) -> tuple[dict[Hashable, Any], Hashable] | None:
    """The table that lives with the function, and a key for what is bound to it."""
    kind = type(function)
    if kind is FunctionType or getattr(kind, "__mgrad_traced__", False):
        space = function.__dict__
        memo = space.get(_NAME)
        if memo is None or memo.owner != id(function):
            memo = space[_NAME] = _Memo(id(function))
        return memo.table, None
    if kind is np.ufunc:
        return _UFUNCS, function
    if isinstance(function, functools.partial):
        return _bound(function.func, (function.args, tuple(function.keywords.items())))
    if isinstance(function, MethodType) and _has_value(function.__self__):
        return _bound(function.__func__, function.__self__)
    return None


_UFUNCS: dict[Hashable, Any] = {}  # they live as long as NumPy


def _bound(function: Any, key: Hashable) -> tuple[dict[Hashable, Any], Hashable] | None:
    found = _table(function)
    if found is None or not _is_hashable(key):
        return None
    return found[0], (found[1], "bound", exact_key(key))


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _has_value(instance: Any) -> bool:
    """Equal by value, so that what a method reads cannot change behind the key."""
    own: Any = type(instance).__hash__
    return own is not None and own is not object.__hash__
