"""What messages call functions, parameters and leaves."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optree

from mgrad import tree


def function_name(function: Any) -> str:
    """The name for messages."""
    while isinstance(function, functools.partial):
        function = function.func
    if hasattr(type(function), "__mgrad_traced__"):
        return str(function._name)
    return getattr(function, "__name__", type(function).__name__)


def function_place(function: Any) -> str:
    """The name with the line of its definition, for messages."""
    plain = inspect.unwrap(function) if hasattr(function, "__wrapped__") else function
    while isinstance(plain, functools.partial):
        plain = plain.func
    code = getattr(plain, "__code__", None)
    name = function_name(function)
    if code is None:
        return name
    return f"{name} ({Path(code.co_filename).name}:{code.co_firstlineno})"


def parameter_names(function: Any) -> list[str]:
    """Names of the parameters that can be given by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds]


def parameter_defaults(function: Any) -> set[str]:
    """Names of the parameters that have a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {p.name for p in parameters if p.default is not inspect.Parameter.empty}


def argument_paths(
    names: Sequence[str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    is_leaf: Callable[[Any], bool] | None = None,
) -> list[str]:
    """How the function's own code reaches each leaf: params['w1'], x, ..."""
    paths: list[str] = []

    def add(value: Any, root: str) -> None:
        accessors = optree.tree_accessors(
            value, is_leaf=is_leaf, namespace=tree.NAMESPACE
        )
        paths.extend(accessor.codify(root) for accessor in accessors)

    for i, arg in enumerate(args):
        add(arg, names[i] if i < len(names) else f"args[{i}]")
    for name in sorted(kwargs):
        add(kwargs[name], name)
    return paths


def leaf_paths(value: Any, root: str) -> list[str]:
    """How Python reaches each leaf from `root`."""
    accessors = optree.tree_accessors(value, namespace=tree.NAMESPACE)
    return [accessor.codify(root) for accessor in accessors]
