"""Graphs: functions from inputs to outputs, as values that print, check and compose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mgrad.errors import ShapeError
from mgrad.expr import (
    CAPTURED,
    CONSTANT,
    INPUT,
    Expr,
    describe,
    format_source,
    make,
    set_origin,
    transforming,
    walk,
)


@dataclass(frozen=True, eq=False)
class Graph:
    """`outputs` as expressions of `inputs`; hashable up to the renaming of inputs."""

    inputs: tuple[Expr, ...]
    outputs: tuple[Expr, ...]

    @cached_property
    def nodes(self) -> tuple[Expr, ...]:
        """Every node that the outputs need, operands first."""
        return tuple(walk(self.outputs, frozenset(self.inputs)))

    @cached_property
    def free(self) -> tuple[Expr, ...]:
        """Inputs of other graphs that this one uses: values closed over."""
        own = frozenset(self.inputs)
        return tuple(n for n in self.nodes if n.primitive is INPUT and n not in own)

    @cached_property
    def captured(self) -> tuple[Expr, ...]:
        """The arrays that the traced function closed over."""
        return tuple(n for n in self.nodes if n.primitive is CAPTURED)

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Equal for graphs that compute the same thing in the same way."""
        number: dict[Expr, int] = {node: -1 - i for i, node in enumerate(self.inputs)}
        rows: list[Any] = [(n.dtype.char, n.shape, n.weak) for n in self.inputs]
        for node in self.nodes:
            if node in number:
                continue
            number[node] = len(number)
            if node.primitive is INPUT:
                rows.append((id(node),))
            else:
                args = tuple(number[arg] for arg in node.args)
                rows.append((node.primitive.name, args, node.params))
        return (*rows, tuple(number[node] for node in self.outputs))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.key == other.key

    def __call__(self, *args: Expr) -> tuple[Expr, ...]:
        """The outputs with `args` in the place of the inputs."""
        return substitute(self.outputs, dict(zip(self.inputs, args, strict=True)))

    def check(self) -> None:
        """Compute every node's type again and compare."""
        for node in self.nodes:
            if node.primitive is INPUT:
                continue
            dtype, shape = node.primitive.type(node.args, node.params)
            if (dtype, shape) != (node.dtype, node.shape):
                raise ShapeError(
                    f"{node!r} should be {dtype}[{','.join(map(str, shape))}]"
                )

    def names(self) -> dict[Expr, str]:
        """Short names for inputs and computed nodes, in order: a, b, ..., z, aa."""
        shown = [*self.inputs, *(n for n in self.nodes if n not in set(self.inputs))]
        named = [n for n in shown if n.primitive is not CONSTANT]
        return {node: letters(i) for i, node in enumerate(named)}

    def __str__(self) -> str:
        names = self.names()

        def operand(node: Expr) -> str:
            return names.get(node) or str(node.params[0])

        def row(node: Expr) -> str:
            words = [node.primitive.name, *map(operand, node.args)]
            words += [str(p) for p in node.params if node.primitive is not CAPTURED]
            return f"  {names[node]}:{short_type(node)} = {' '.join(words)}"

        heading = ", ".join(f"{names[n]}:{short_type(n)}" for n in self.inputs)
        inputs = set(self.inputs)
        rows = [row(n) for n in self.nodes if n in names and n not in inputs]
        result = ", ".join(map(operand, self.outputs))
        return "\n".join([f"graph({heading}):", *rows, f"  return {result}"])


def short_type(node: Expr) -> str:
    """`f64[3,4]`."""
    kind = {"b": "bool", "i": "i", "f": "f"}[node.dtype.kind]
    bits = "" if node.dtype.kind == "b" else str(8 * node.dtype.itemsize)
    return f"{kind}{bits}[{','.join(map(str, node.shape))}]"


def letters(index: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("a") + rest) + name
    return name


def substitute(
    outputs: Sequence[Expr], replacement: dict[Expr, Expr]
) -> tuple[Expr, ...]:
    """The outputs rebuilt with nodes replaced; what does not change is shared."""
    result = dict(replacement)
    with transforming():
        for node in walk(tuple(outputs), frozenset(replacement)):
            if node not in result:
                result[node] = rebuild(node, tuple(result[a] for a in node.args))
    return tuple(result[node] for node in outputs)


def rebuild(node: Expr, args: tuple[Expr, ...]) -> Expr:
    """The same operation on other operands, with the source line of the first."""
    if all(new is old for new, old in zip(args, node.args, strict=True)):
        return node
    set_origin(node.where)
    return make(node.primitive, args, node.params, node.weak)


def origin(node: Expr) -> str:
    """Type and source line of a node, for messages."""
    return f"{describe(node)} from {format_source(node.where)}"
