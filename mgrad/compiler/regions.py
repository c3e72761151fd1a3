"""Kernels of assemblies and scatters: elements written to other places."""

from __future__ import annotations

from math import prod

from mgrad.compiler.affine import flat
from mgrad.compiler.builder import Place, number
from mgrad.compiler.finish import Lowered, finish
from mgrad.compiler.lower import Lowering
from mgrad.compiler.walk import Position, identity
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


def open_loops(builder: Lowering, node: Expr) -> int:
    """A loop for each axis of extent other than 1; how many."""
    domain = [extent for extent in node.shape if extent != 1]
    for d, extent in enumerate(domain):
        builder.open(d, extent, ranged=d == 0)
    return len(domain)


def lower_fill(node: Expr) -> Lowered:
    """Zeros everywhere."""
    builder = Lowering(set())
    depth = open_loops(builder, node)
    place = Place(flat(identity(node.shape), node.shape))
    builder.store(builder.buffer(node, True), place, number(0, node.dtype.name))
    for _ in range(depth):
        builder.close()
    return finish(builder)


def lower_copy(node: Expr, arg: Expr, region: Region, stored: set[Expr]) -> Lowered:
    """One operand, computed element by element, written into its region."""
    builder = Lowering(stored)
    depth = open_loops(builder, arg)
    position = identity(arg.shape)
    value = builder.value(arg, position)
    place = region_place(position, region, node)
    builder.store(builder.buffer(node, True), place, value)
    for _ in range(depth):
        builder.close()
    return finish(builder)


def lower_region_sum(node: Expr, stored: set[Expr]) -> list[Lowered]:
    """An operand added into its region of the base's buffer."""
    part, _ = node.args
    if not prod(part.shape):
        return []
    builder = Lowering(stored)
    depth = open_loops(builder, part)
    position = identity(part.shape)
    value = builder.value(part, position)
    place = region_place(position, Region(*node.params), node)
    target, dtype = builder.buffer(node, True), node.dtype.name
    before = builder.load(target, dtype, place)
    builder.store(target, place, builder.let("add", (before, value), dtype))
    for _ in range(depth):
        builder.close()
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
    domain = [extent for extent in updates.shape if extent != 1]
    parallel = batch > 0 and updates.shape[0] != 1
    for d, extent in enumerate(domain):
        builder.open(d, extent, ranged=parallel and d == 0)
    position = identity(updates.shape)
    rest = (*position[:batch], *(0 for _ in indices), *position[rank:])
    chosen = [builder.value(i, position[:rank]) for i in indices]
    place = builder.dynamic_place(flat(rest, x.shape), chosen, x.shape, batch)
    value = builder.value(updates, position)
    target, dtype = builder.buffer(node, True), node.dtype.name
    if how != "set":
        before = builder.load(target, dtype, place, changing=True)
        value = builder.let(how, (before, value), dtype)
    builder.store(target, place, value)
    for _ in domain:
        builder.close()
    return finish(builder)
