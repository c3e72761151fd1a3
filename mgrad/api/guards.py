"""What a trace depends on besides its arguments: globals and closed-over values.

A specialisation is used again only while the names that the function reads still
mean the same objects, so that a redefined helper or constant is traced anew.
Arrays changed in place need no guard: they are arguments of the program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

Guard = Callable[[], bool]

_FIXED = (ModuleType, BuiltinFunctionType, np.ufunc, type)


def guard_of(function: Any) -> Guard | None:
    """A check that the names which a function reads are what they are now."""
    checks: list[Guard] = []
    seen: set[int] = set()
    pending = [function]
    while pending:
        current = _plain(pending.pop())
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        for read, values in _reads(current):
            checks.append(_unchanged(read, values))
            pending.extend(v for v in values if callable(v))
    if not checks:
        return None
    return checks[0] if len(checks) == 1 else lambda: all(check() for check in checks)


def _plain(function: Any) -> FunctionType | None:
    """The user's function behind wrappers and methods; library functions are fixed."""
    while not isinstance(function, FunctionType):
        inner = getattr(function, "__wrapped__", None) or getattr(
            function, "__func__", getattr(function, "func", None)
        )
        if inner is None or isinstance(function, _FIXED):
            return None
        function = inner
    top = (function.__module__ or "").partition(".")[0]
    return None if top in ("numpy", "scipy", "mgrad") else function


def _reads(function: FunctionType) -> Iterator[tuple[Callable[[], Any], tuple[Any, ...]]]:
    """Ways to read what the function depends on, with the values they give now."""
    names = tuple(
        name
        for name in dict.fromkeys(_global_names(function.__code__))
        if name in function.__globals__
        and not isinstance(function.__globals__[name], _FIXED)
    )
    if names:
        space = function.__globals__
        yield (lambda: tuple([space[name] for name in names])), _now(space, names)
    cells = [c for c in function.__closure__ or () if _filled(c)]
    if cells:
        contents = tuple([cell.cell_contents for cell in cells])
        yield (lambda: tuple([cell.cell_contents for cell in cells])), contents


def _now(space: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple([space[name] for name in names])


def _filled(cell: Any) -> bool:
    try:
        return not isinstance(cell.cell_contents, _FIXED)
    except ValueError:
        return False


def _global_names(code: CodeType) -> Iterator[str]:
    pending = [code]
    while pending:
        current = pending.pop()
        yield from current.co_names
        pending.extend(c for c in current.co_consts if isinstance(c, CodeType))


def _unchanged(read: Callable[[], Any], values: tuple[Any, ...]) -> Guard:
    def same() -> bool:
        try:
            return all(map(operator.is_, read(), values))
        except (KeyError, ValueError):  # a name or cell was deleted
            return False

    return same
