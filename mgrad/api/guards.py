"""What a trace depends on besides its arguments: globals and closed-over values.

A specialisation is used again only while the names that the function reads still
mean the same objects, so that a redefined helper or constant is traced anew.
Arrays changed in place need no guard: they are arguments of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

Guard = Callable[[], bool]
Read = tuple[Any, str, Any]  # a namespace or cell, how to read it, the value

_FIXED = (ModuleType, BuiltinFunctionType, np.ufunc, type)


def guard_of(function: Any) -> Guard | None:
    """A check that the names which a function reads are what they are now."""
    reads: list[Read] = []
    seen: set[int] = set()
    pending = [function]
    while pending:
        current = _plain(pending.pop())
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        found = list(_reads(current))
        reads += found
        pending.extend(value for *_, value in found if callable(value))
    return _compiled(reads) if reads else None


def _compiled(reads: list[Read]) -> Guard:
    """One function that compares them all; it runs at every call."""
    constants: dict[str, Any] = {}
    tests = []
    for i, (holder, how, value) in enumerate(reads):
        constants[f"h{i}"], constants[f"v{i}"] = holder, value
        tests.append(f"h{i}{how} is v{i}")
    text = (
        f"def guard():\n    try:\n        return {' and '.join(tests)}\n"
        "    except (KeyError, ValueError):  # a name or cell was deleted\n"
        "        return False\n"
    )
    exec(text, constants)
    return constants["guard"]  # type: ignore[no-any-return]


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


def _reads(function: FunctionType) -> Iterator[Read]:
    """Global and closed-over names that the function reads, with their values now."""
    space = function.__globals__
    for name in dict.fromkeys(_global_names(function.__code__)):
        if name in space and not isinstance(space[name], _FIXED):
            yield space, f"[{name!r}]", space[name]
    for cell in function.__closure__ or ():
        if _filled(cell):
            yield cell, ".cell_contents", cell.cell_contents


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
