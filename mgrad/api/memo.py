"""One wrapper for each function and options, alive as long as the function.

`mg.grad(loss)` written afresh in a loop must find its compiled programs again. The
table stands in the function's own `__dict__`, so that both are freed together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from types import FunctionType, MethodType
from typing import Any

_NAME = "__mgrad_memo__"


class _Memo:
    """The wrappers of one function; a copy of its `__dict__` does not count."""

    __slots__ = ("owner", "table")

    def __init__(self, owner: int = 0) -> None:
        self.owner = owner
        self.table: dict[Hashable, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Memo, ()


def memoised(function: Any, options: Hashable, create: Callable[[], Any]) -> Any:
    """The wrapper for these options, made once where the function can keep it."""
    found = _table(function)
    if found is None:
        return create()
    table, key = found
    wrapper = table.get((options, key))
    if wrapper is None:
        wrapper = table.setdefault((options, key), create())
    return wrapper


def _table(function: Any) -> tuple[dict[Hashable, Any], Hashable] | None:
    """The table that lives with the function, and a key for what is bound to it."""
    if type(function) is FunctionType or hasattr(function, "__mgrad_traced__"):
        space = function.__dict__
        memo = space.get(_NAME)
        if memo is None or memo.owner != id(function):
            memo = space[_NAME] = _Memo(id(function))
        return memo.table, None
    if isinstance(function, functools.partial):
        return _bound(function.func, (function.args, tuple(function.keywords.items())))
    if isinstance(function, MethodType) and _has_value(function.__self__):
        return _bound(function.__func__, function.__self__)
    return None


def _bound(function: Any, key: Hashable) -> tuple[dict[Hashable, Any], Hashable] | None:
    found = _table(function)
    if found is None or not _is_hashable(key):
        return None
    return found[0], (found[1], "bound", key)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _has_value(instance: Any) -> bool:
    """Equal by value, so that what a method reads cannot change behind the key."""
    return type(instance).__hash__ not in (object.__hash__, None)
