"""How a value at an index depends on its operands at theirs: one step of inlining."""

from __future__ import annotations

from typing import Any

from mgrad.compiler.affine import Affine, variable
from mgrad.expr import CAPTURED, CONSTANT, INPUT, Expr, Shape
from mgrad.primitive import Elementwise, Gather, Iota, Movement

Position = tuple[Any, ...]
"""One affine index (or 0) for each axis."""


def is_leaf(node: Expr) -> bool:
    """An array that exists before the program runs."""
    return node.primitive is INPUT or node.primitive is CAPTURED


def is_constant(node: Expr) -> bool:
    """A scalar literal."""
    return node.primitive is CONSTANT


def is_fusible(node: Expr) -> bool:
    """Computed element by element inside a loop, wherever it is needed."""
    return isinstance(node.primitive, (Elementwise, Movement, Gather, Iota))


def storage(node: Expr) -> Expr:
    """The node whose buffer holds this one: reshapes share their operand's."""
    while isinstance(node.primitive, Movement) and node.primitive.keeps_order:
        (node,) = node.args
    return node


def identity(shape: Shape) -> Position:
    """One loop variable for each axis of extent other than 1."""
    count = 0
    position: list[Any] = []
    for extent in shape:
        position.append(0 if extent == 1 else variable(count))
        count += extent != 1
    return tuple(position)


def moved(node: Expr, position: Position) -> Position | None:
    """The operand's position for a movement; None where it is not affine."""
    index = node.primitive.index(position, node.args[0].shape, node.shape, *node.params)
    return None if index is None else tuple(index)


def operands(node: Expr, position: Position) -> list[tuple[Expr, Position]]:
    """The operands that a fusible node needs, each with its position.

    The array that a gather reads and the operand of a reshape that is not affine
    are not among them: those are read from their buffers.
    """
    if isinstance(node.primitive, Movement):
        index = moved(node, position)
        return [] if index is None else [(node.args[0], index)]
    if isinstance(node.primitive, Gather):
        indices = node.args[1:]
        return [(i, position[: i.ndim]) for i in indices]
    return [(arg, position) for arg in node.args]


def stored_operands(node: Expr) -> tuple[Expr, ...]:
    """The operands that must be in a buffer, whatever the schedule."""
    primitive = node.primitive
    if isinstance(primitive, Movement):
        return node.args if moved(node, identity(node.shape)) is None else ()
    if isinstance(primitive, Gather):
        return node.args[:1]
    return ()


def squeezed(shape: Shape) -> Shape:
    """The extents other than 1: the domain of the loops over an array."""
    return tuple(extent for extent in shape if extent != 1)


Access = tuple[Expr, Affine]
