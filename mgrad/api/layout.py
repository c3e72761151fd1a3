"""Flattening and rebuilding trees of one known structure, by generated Python.

optree takes microseconds for any tree; a structure of plain tuples, lists and
dictionaries is taken apart by a function written for it in a tenth of that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import optree

from mgrad import tree

Flatten = Callable[[tuple[Any, ...], dict[str, Any]], Any]
Rebuild = Callable[[tuple[Any, ...]], Any]


def flattener(structure: tree.TreeDef) -> Flatten:
    """(args, kwargs) to a tuple of leaves, or NotImplemented for another structure."""
    writer = _Writer()
    args, kwargs = _example(structure)
    try:
        leaves = [*writer.read(args, "args"), *writer.read(kwargs, "kwargs")]
    except (_NotPlain, RecursionError):
        return functools.partial(_flatten_by_optree, structure)
    text = f"({''.join(x + ', ' for x in leaves)})"
    return writer.function("args, kwargs", text)  # type: ignore[no-any-return]


def rebuilder(structure: tree.TreeDef) -> Rebuild:
    """A tuple of leaves to the tree."""
    writer = _Writer()
    try:
        text = writer.build(_example(structure))
        return writer.function("leaves", text)  # type: ignore[no-any-return]
    except (_NotPlain, RecursionError):
        return functools.partial(optree.tree_unflatten, structure)


def _example(structure: tree.TreeDef) -> Any:
    """The tree with the number of each leaf in its place."""
    return tree.unflatten(structure, range(structure.num_leaves))


def _flatten_by_optree(
    structure: tree.TreeDef, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    leaves, found = tree.flatten((args, kwargs))
    return tuple(leaves) if found == structure else NotImplemented


class _NotPlain(Exception):
    """A node that is neither tuple, list, dictionary nor None."""


class _Writer:
    """Collects the lines of one function and the constants that it uses."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.count = 0

    def function(self, parameters: str, result: str) -> Any:
        """The function, compiled."""
        body = "".join(f"        {line}\n" for line in self.lines)
        text = (
            f"def generated({parameters}):\n    try:\n{body}        return {result}\n"
            "    except (KeyError, ValueError):\n        return NotImplemented\n"
        )
        exec(text, self.constants)  # names and keys are constants, never text
        return self.constants["generated"]

    def read(self, example: Any, name: str) -> list[str]:
        """Lines that check the structure below `name`; the names of its leaves."""
        kind = type(example)
        if kind is int:
            return [name]
        if example is None:
            self.refuse_unless(f"{name} is None")
            return []
        if kind is dict:
            return self._read_dictionary(example, name)
        if kind not in (tuple, list):
            raise _NotPlain
        self.refuse_unless(f"type({name}) is {kind.__name__}")
        names = [self._name() for _ in example]
        if names:
            self.lines.append(f"{', '.join(names)}, = {name}")
        else:
            self.refuse_unless(f"not {name}")
        parts = zip(example, names, strict=True)
        return [leaf for part, own in parts for leaf in self.read(part, own)]

    def _read_dictionary(self, example: dict[Any, Any], name: str) -> list[str]:
        self.refuse_unless(f"type({name}) is dict and len({name}) == {len(example)}")
        leaves: list[tuple[int, str]] = []
        for key, part in example.items():
            own = self._name()
            self.lines.append(f"{own} = {name}[{self._constant(key)}]")
            numbers = [n for n in tree.leaves(part)]
            leaves += zip(numbers, self.read(part, own), strict=True)
        return [leaf for _, leaf in sorted(leaves)]

    def build(self, example: Any) -> str:
        """An expression for the tree."""
        kind = type(example)
        if kind is int:
            return f"leaves[{example}]"
        if example is None:
            return "None"
        if kind is dict:
            items = (
                f"{self._constant(k)}: {self.build(v)}" for k, v in example.items()
            )
            return f"{{{', '.join(items)}}}"
        if kind not in (tuple, list):
            raise _NotPlain
        parts = "".join(self.build(part) + ", " for part in example)
        return f"({parts})" if kind is tuple else f"[{parts}]"

    def refuse_unless(self, condition: str) -> None:
        """A line that gives up."""
        self.lines.append(f"if not ({condition}): return NotImplemented")

    def _name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def _constant(self, key: Any) -> str:
        if type(key) is str:
            return repr(key)
        name = f"k{len(self.constants)}"
        self.constants[name] = key
        return name
