"""Kernels of assemblies and scatters: elements written to other places."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from mgrad.compiler.affine import flat
from mgrad.compiler.builder import Place, number
from mgrad.compiler.finish import Lowered, finish
from mgrad.compiler.lower import Lowering
from mgrad.compiler.walk import Position, identity, squeezed
from mgrad.expr import Expr
from mgrad.primitive import Region


def lower_assembly(node: Expr, stored: set[Expr]) -> list[Lowered]:
    """Zeros where no operand goes, then a kernel for each operand."""
    regions = node.primitive.regions([a.shape for a in node.args], *node.params)
    kernels = []
    if sum(prod(arg.shape) for arg in node.args) < prod(node.shape):
        kernels.append(lower_fill(node))
    for arg, region in zip(node.args, regions, strict=True):
        if prod(arg.shape):
            kernels.append(lower_copy(node, arg, region, stored))
    return kernels


def loops(node: Expr) -> Iterator[tuple[int, int]]:
    """A variable for each axis of extent other than 1."""
    return enumerate(squeezed(node.shape))


def lower_fill(node: Expr) -> Lowered:
    """Zeros everywhere."""
    builder = Lowering(set())
    place = Place(flat(identity(node.shape), node.shape))
    with builder.nest(loops(node), ranged=True):
        builder.store(builder.buffer(node, True), place, number(0, node.dtype.name))
    return finish(builder)


def lower_copy(node: Expr, arg: Expr, region: Region, stored: set[Expr]) -> Lowered:
    """One operand, computed element by element, written into its region."""
    builder = Lowering(stored)
    position = identity(arg.shape)
    place = region_place(position, region, node)
    with builder.nest(loops(arg), ranged=True):
        value = builder.value(arg, position)
        builder.store(builder.buffer(node, True), place, value)
    return finish(builder)


def lower_region_sum(node: Expr, stored: set[Expr]) -> list[Lowered]:
    """An operand added into its region of the base's buffer."""
    part, _ = node.args
    if not prod(part.shape):
        return []
    builder = Lowering(stored)
    position = identity(part.shape)
    place = region_place(position, Region(*node.params), node)
    with builder.nest(loops(part), ranged=True):
        builder.update(node, place, "add", builder.value(part, position))
    return [finish(builder)]


def region_place(position: Position, region: Region, node: Expr) -> Place:
    """Where an element of a region lies in the whole."""
    index = [
        i * step + start
        for i, start, step in zip(position, region.start, region.step, strict=True)
    ]
    return Place(flat(index, node.shape))


def lower_scatter(node: Expr, stored: set[Expr]) -> list[Lowered]:
    """A copy of the array, then the updates one after the other."""
    x, *_ = node.args
    whole = Region((0,) * x.ndim, (1,) * x.ndim)
    kernels = [lower_copy(node, x, whole, stored)] if prod(x.shape) else []
    if prod(node.args[-1].shape):
        kernels.append(lower_updates(node, stored))
    return kernels


def lower_updates(node: Expr, stored: set[Expr]) -> Lowered:
    """Updates in order; only batch axes may run in parallel."""
    x, *indices, updates = node.args
    batch, how = node.params
    rank = indices[0].ndim
    builder = Lowering(stored)
    parallel = batch > 0 and updates.shape[0] != 1
    position = identity(updates.shape)
    rest = (*position[:batch], *(0 for _ in indices), *position[rank:])
    with builder.nest(loops(updates), ranged=parallel):
        chosen = [builder.value(i, position[:rank]) for i in indices]
        place = builder.dynamic_place(flat(rest, x.shape), chosen, x.shape, batch)
        value = builder.value(updates, position)
        if how == "set":
            builder.store(builder.buffer(node, True), place, value)
        else:
            builder.update(node, place, how, value)
    return finish(builder)
