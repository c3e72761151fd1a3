"""Pytrees: nested containers of arrays as one value, thin over optree.

`None` is an empty node, dictionaries are ordered by key, and dataclasses or
classes of your own can be registered as nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

from mgrad.errors import ArgumentError, StructureError

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

    Tuples, lists, named tuples, dictionaries (by sorted key) and registered classes
    are containers, None is an empty one, and anything else is a leaf.

    >>> leaves, structure = flatten({"b": 2, "a": [1, None]})
    >>> leaves
    [1, 2]
    >>> unflatten(structure, leaves)
    {'b': 2, 'a': [1, None]}
    """
    return optree.tree_flatten(tree, namespace=NAMESPACE)


def unflatten(structure: TreeDef, leaves: Any) -> Any:
    """The tree of the given structure with these leaves.

    Raises StructureError for too few or too many leaves.

    >>> unflatten(structure({"a": 0, "b": [0]}), [1, 2])
    {'a': 1, 'b': [2]}
    """
    try:
        return optree.tree_unflatten(structure, leaves)
    except ValueError as error:
        raise StructureError(f"tree.unflatten: {error}") from None


def leaves(tree: Any) -> list[Any]:
    """The leaves alone.

    >>> leaves((1, {"x": 2}))
    [1, 2]
    """
    return optree.tree_leaves(tree, namespace=NAMESPACE)


def structure(tree: Any) -> TreeDef:
    """The structure alone: equal for trees that differ in their leaves only.

    >>> structure({"a": 1.0}) == structure({"a": 2.0})
    True
    """
    return optree.tree_structure(tree, namespace=NAMESPACE)


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` applied to corresponding leaves of one or more trees.

    The result has the structure of the first tree; the others must have it too, or
    more below its leaves. Raises StructureError where they differ.

    >>> map(lambda x, y: x + y, {"a": 1}, {"a": 2})
    {'a': 3}
    """
    leaves, wanted = flatten(tree)
    columns = [leaves]
    for number, other in enumerate(rest, 2):
        try:
            columns.append(wanted.flatten_up_to(other))
        except ValueError as error:
            raise StructureError(
                f"tree.map: tree {number} does not have the structure of tree 1: "
                f"{error}"
            ) from None
    return unflatten(wanted, [function(*xs) for xs in zip(*columns, strict=True)])


def reduce(function: Callable[[Any, Any], Any], tree: Any, initial: Any) -> Any:
    """Fold the leaves from the left: function(... function(initial, x1) ..., xn).

    >>> reduce(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, 0)
    6
    """
    return optree.tree_reduce(function, tree, initial, namespace=NAMESPACE)


def transpose(outer: TreeDef, inner: TreeDef, tree: Any) -> Any:
    """A tree of `outer` over `inner` turned into one of `inner` over `outer`.

    Raises StructureError if it is no such tree.

    >>> transpose(structure([0, 0]), structure({"a": 0}), [{"a": 1}, {"a": 2}])
    {'a': [1, 2]}
    """
    try:
        return optree.tree_transpose(outer, inner, tree)
    except (TypeError, ValueError) as error:
        raise StructureError(f"tree.transpose: {error}") from None


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
    """Make a class a pytree node: `flatten(x) -> (children, static)` and back.

    `unflatten(static, children)` makes the object again; `static` is hashable and part
    of the structure. Raises ArgumentError for what is no class or function, and for a
    class registered before.

    >>> class Scaled:
    ...     def __init__(self, x, unit):
    ...         self.x, self.unit = x, unit
    >>> _ = register(Scaled, lambda s: ((s.x,), s.unit), lambda u, xs: Scaled(*xs, u))
    >>> map(lambda x: 2 * x, Scaled(3, "m")).x
    6
    """
    given: Any = (cls, flatten, unflatten)
    if not (isinstance(given[0], type) and all(map(callable, given))):
        raise ArgumentError(
            "tree.register takes a class and two functions, flatten and unflatten; got "
            f"{cls!r:.40}, {flatten!r:.40} and {unflatten!r:.40}."
        )
    try:
        optree.register_pytree_node(cls, flatten, unflatten, namespace=NAMESPACE)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"tree.register: {error}") from None
    return cls


def register_dataclass(cls: type) -> type:
    """Make a dataclass a pytree node whose fields are its children; a decorator.

    Raises ArgumentError for a class that is no dataclass.

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

    given: Any = cls
    if not (isinstance(given, type) and dataclasses.is_dataclass(given)):
        raise ArgumentError(
            f"tree.register_dataclass takes a dataclass, got {cls!r:.40}. Put "
            "@mg.tree.register_dataclass above @dataclass."
        )
    names = [field.name for field in dataclasses.fields(cls)]

    def children(value: Any) -> tuple[Any, None]:
        return [getattr(value, name) for name in names], None

    def rebuild(_: None, values: Any) -> Any:
        return cls(**dict(zip(names, values, strict=True)))

    return register(cls, children, rebuild)
