"""What a trace depends on besides its arguments: globals, closed-over values, state.

A specialisation is used again only while the names, attributes and containers that
the function reads still hold the same objects, so that a redefined helper, a changed
constant or another `self.scale` is traced anew. Arrays changed in place need no
guard: they are arguments of the program. Not seen: attributes read by `getattr` with
a computed name, and what properties of libraries compute.
"""

from __future__ import annotations

import functools
import operator
import sys
import sysconfig
from collections.abc import Callable, Iterator
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import numpy as np

_OWN = ("numpy", "scipy", "mgrad")
_LIBRARIES = frozenset({*_OWN, *sys.stdlib_module_names}) - {"__main__"}
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})
_PLAIN = (  # hold nothing that can change unseen
    *(str, bytes, bool, int, float, complex, type(None), type(Ellipsis)),
    *(np.ndarray, np.generic, np.dtype, np.ufunc, BuiltinFunctionType, CodeType),
)


class Read(NamedTuple):
    """A place that the function reads, and what it found there.

    `kind` is "key" for holder[key], "attribute" for holder.key, and "items" for all
    that a list or dictionary holds.
    """

    holder: Any
    kind: str
    key: Any
    value: Any
    label: str

    def test(self, holder: str, value: str) -> str:
        """Python text that is true while nothing has changed there."""
        if self.kind == "key":
            return f"{holder}[{self.key!r}] is {value}"
        if self.kind == "attribute":
            return f"{holder}.{self.key} is {value}"
        count = len(self.value)
        text = f"len({holder}) == {count} and all(map(same, {holder}, {value}))"
        if isinstance(self.holder, dict):
            text += f" and all(map(same, {holder}.values(), {value}.values()))"
        return text

    def holds(self) -> bool:
        """Whether nothing has changed there."""
        try:
            if self.kind == "key":
                return self.holder[self.key] is self.value
            if self.kind == "attribute":
                return getattr(self.holder, self.key) is self.value
        except _GONE:
            return False
        now, then = list(self.holder), list(self.value)
        if isinstance(self.holder, dict):
            now += self.holder.values()
            then += self.value.values()
        return len(now) == len(then) and all(map(operator.is_, now, then))


_GONE = (AttributeError, KeyError, ValueError)


class Guard(NamedTuple):
    """A check that all is as it was, and the names of what is not."""

    check: Callable[[], bool]
    changed: Callable[[], list[str]]


class Watch:
    """What a function reads from outside, looked at before it is traced."""

    def __init__(self, function: Any) -> None:
        reader = _Reader(function)
        self._reads = reader.reads
        self._generators = reader.generators
        self._drawn = self._random_state()

    def guard(self) -> Guard | None:
        """The check; what the trace itself has changed is not part of it."""
        reads = [read for read in self._reads if read.holds()]
        if not reads:
            return None
        return Guard(
            _compiled(reads), lambda: [r.label for r in reads if not r.holds()]
        )

    def drew(self) -> bool:
        """Whether random numbers were drawn since."""
        return self._random_state() != self._drawn

    def _random_state(self) -> list[Any]:
        state: list[Any] = [str(g.bit_generator.state) for g in self._generators]
        if "numpy.random" in sys.modules:
            _, keys, *place = np.random.get_state()
            state += [int(keys[0]), *place]
        if "random" in sys.modules:
            keys = sys.modules["random"].getstate()[1]
            state += [keys[0], keys[-1]]
        return state


def _compiled(reads: list[Read]) -> Callable[[], bool]:
    """One function that compares them all; it runs at every call."""
    constants: dict[str, Any] = {"same": operator.is_, "GONE": _GONE}
    for i, read in enumerate(reads):
        constants[f"h{i}"], constants[f"v{i}"] = read.holder, read.value
    tests = " and ".join(read.test(f"h{i}", f"v{i}") for i, read in enumerate(reads))
    text = (
        f"def guard():\n    try:\n        return {tests}\n"
        "    except GONE:  # a name, cell or attribute was deleted\n"
        "        return False\n"
    )
    exec(text, constants)
    return constants["guard"]  # type: ignore[no-any-return]


class _Reader:
    """Collects what a function and all that it calls read from outside."""

    def __init__(self, function: Any) -> None:
        self.reads: list[Read] = []
        self.generators: list[np.random.Generator] = []
        self._names: set[str] = set()  # of globals and attributes, in any function
        self._owners: list[tuple[Any, str, set[str]]] = []  # whose attributes count
        self._seen: dict[int, Any] = {}
        self._home = _top(getattr(_unwrapped(function), "__module__", ""))
        self._pending: list[tuple[Any, str]] = [(function, "")]
        self._follow()

    def _follow(self) -> None:
        """Until no function, container or attribute is new."""
        while self._pending:
            while self._pending:
                value, label = self._pending.pop()
                if not isinstance(value, _PLAIN) and id(value) not in self._seen:
                    self._seen[id(value)] = value
                    self._visit(value, label)
            for owner, label, done in self._owners:
                for name in sorted(self._names - done):
                    done.add(name)
                    self._attribute(owner, name, label)

    def _visit(self, value: Any, label: str) -> None:
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, MethodType):
            self._pending += [(value.__func__, label), (value.__self__, label)]
        elif isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            self._pending += [(part, label) for part in parts]
        elif isinstance(value, (list, dict)):
            copy: Any = dict(value) if isinstance(value, dict) else tuple(value)
            self.reads.append(Read(value, "items", None, copy, f"items of {label}"))
            items = copy.items() if isinstance(copy, dict) else enumerate(copy)
            self._pending += [(v, f"{label}[{k!r}]") for k, v in items]
        elif isinstance(value, (tuple, set, frozenset)):
            self._pending += [(v, f"{label}[{i}]") for i, v in enumerate(value)]
        elif isinstance(value, np.random.Generator):
            self.generators.append(value)
        elif isinstance(value, (staticmethod, classmethod)):
            self._pending.append((value.__func__, label))
        elif isinstance(value, property):
            self._pending.append((value.fget, label))
        elif hasattr(value, "__wrapped__"):
            self._pending.append((value.__wrapped__, label))
        elif not self._is_fixed(value):
            self._owners.append((value, label, set()))
            if not isinstance(value, (ModuleType, type)):
                call = _class_attribute(type(value), "__call__")
                self._pending.append((call, label))

    def _function(self, function: FunctionType) -> None:
        if self._is_library(function.__module__):
            return
        space = function.__globals__
        for name in dict.fromkeys(_code_names(function.__code__)):
            self._names.add(name)
            if name in space:
                self._read(space, "key", name, name)
        free = function.__code__.co_freevars
        for name, cell in zip(free, function.__closure__ or (), strict=True):
            if _filled(cell):
                self._read(cell, "attribute", "cell_contents", name)
        self._pending.append((function.__defaults__, f"a default of {function}"))

    def _attribute(self, owner: Any, name: str, label: str) -> None:
        space = getattr(owner, "__dict__", None)
        label = f"{label}.{name}" if label else name
        if space is not None and name in space:
            self._read(space, "key", name, label)
            return
        if isinstance(owner, ModuleType):
            return
        kind = owner if isinstance(owner, type) else type(owner)
        found = _class_attribute(kind, name)
        if isinstance(found, MemberDescriptorType):  # a slot
            if hasattr(owner, name):
                self._read(owner, "attribute", name, label)
        elif found is None or hasattr(found, "__get__"):
            self._pending.append((found, label))
        else:
            self._read(owner, "attribute", name, label)

    def _read(self, holder: Any, kind: str, key: str, label: str) -> None:
        value = holder[key] if kind == "key" else getattr(holder, key)
        if not (isinstance(value, (ModuleType, type)) and self._is_fixed(value)):
            self.reads.append(Read(holder, kind, key, value, label))
        self._pending.append((value, label))

    def _is_fixed(self, value: Any) -> bool:
        """Modules, classes and instances whose state is not the user's."""
        if isinstance(value, ModuleType):
            return self._is_library(value.__name__)
        if isinstance(value, type):
            return self._is_library(value.__module__)
        return _top(type(value).__module__) in _OWN

    def _is_library(self, module: str | None) -> bool:
        top = _top(module)
        return top != self._home and _is_library(top)


@functools.cache
def _is_library(top: str) -> bool:
    """A package of the standard library or an installed one."""
    if top in _LIBRARIES:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return bool(file) and str(file).startswith(_INSTALLED)


def _unwrapped(function: Any) -> Any:
    """The user's function behind wrappers, partials and methods."""
    for name in ("__wrapped__", "func", "__func__"):
        inner = getattr(function, name, None)
        if inner is not None:
            return _unwrapped(inner)
    return function


def _top(module: Any) -> str:
    return str(module or "").partition(".")[0]


def _class_attribute(kind: type, name: str) -> Any:
    """The attribute as it stands in the class, not bound."""
    return next((c.__dict__[name] for c in kind.__mro__ if name in c.__dict__), None)


def _filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _code_names(code: CodeType) -> Iterator[str]:
    pending = [code]
    while pending:
        current = pending.pop()
        yield from current.co_names
        pending.extend(c for c in current.co_consts if isinstance(c, CodeType))
