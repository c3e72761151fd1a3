"""Pytrees: nested containers of arrays as one value, thin over optree.

`None` is an empty node, dictionaries are ordered by key, and dataclasses or
classes of your own can be registered as nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

NAMESPACE = "mgrad"
TreeDef = optree.PyTreeSpec

__all__ = [
    "TreeDef",
    "flatten",
    "leaves",
    "map",
    "paths",
    "reduce",
    "register",
    "register_dataclass",
    "structure",
    "transpose",
    "unflatten",
]


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """Leaves in a fixed order, and the structure that puts them back.

    >>> leaves, structure = flatten({"b": 2, "a": [1, None]})
    >>> leaves
    [1, 2]
    >>> unflatten(structure, leaves)
    {'b': 2, 'a': [1, None]}
    """
    return optree.tree_flatten(tree, namespace=NAMESPACE)


def unflatten(structure: TreeDef, leaves: Any) -> Any:
    """The tree of the given structure with these leaves."""
    return optree.tree_unflatten(structure, leaves)


def leaves(tree: Any) -> list[Any]:
    """The leaves alone.

    >>> leaves((1, {"x": 2}))
    [1, 2]
    """
    return optree.tree_leaves(tree, namespace=NAMESPACE)


def structure(tree: Any) -> TreeDef:
    """The structure alone."""
    return optree.tree_structure(tree, namespace=NAMESPACE)


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` applied to corresponding leaves of one or more trees.

    >>> map(lambda x, y: x + y, {"a": 1}, {"a": 2})
    {'a': 3}
    """
    return optree.tree_map(function, tree, *rest, namespace=NAMESPACE)


def reduce(function: Callable[[Any, Any], Any], tree: Any, initial: Any) -> Any:
    """Fold the leaves from the left.

    >>> reduce(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, 0)
    6
    """
    return optree.tree_reduce(function, tree, initial, namespace=NAMESPACE)


def transpose(outer: TreeDef, inner: TreeDef, tree: Any) -> Any:
    """A tree of `outer` over `inner` turned into one of `inner` over `outer`.

    >>> transpose(structure([0, 0]), structure({"a": 0}), [{"a": 1}, {"a": 2}])
    {'a': [1, 2]}
    """
    return optree.tree_transpose(outer, inner, tree)


def paths(tree: Any) -> list[str]:
    """How Python reaches each leaf, for messages.

    >>> paths({"w": [1, 2]})
    ["['w'][0]", "['w'][1]"]
    """
    accessors = optree.tree_accessors(tree, namespace=NAMESPACE)
    return [accessor.codify("") for accessor in accessors]


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Any, Any]],
    unflatten: Callable[[Any, Any], Any],
) -> type:
    """Make a class a pytree node: `flatten(x) -> (children, static)` and back."""
    optree.register_pytree_node(cls, flatten, unflatten, namespace=NAMESPACE)
    return cls


def register_dataclass(cls: type) -> type:
    """Make a dataclass a pytree node whose fields are its children.

    >>> from dataclasses import dataclass
    >>> @register_dataclass
    ... @dataclass
    ... class Point:
    ...     x: float
    ...     y: float
    >>> map(lambda v: 2 * v, Point(1, 2))
    Point(x=2, y=4)
    """
    import dataclasses

    names = [field.name for field in dataclasses.fields(cls)]

    def children(value: Any) -> tuple[Any, None]:
        return [getattr(value, name) for name in names], None

    def rebuild(_: None, values: Any) -> Any:
        return cls(**dict(zip(names, values, strict=True)))

    return register(cls, children, rebuild)
