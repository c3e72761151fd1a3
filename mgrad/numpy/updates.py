"""Functional updates `x.at[i].set(v)`, and reads by name: take, choose, delete."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mgrad.errors import IndexingError, ShapeError, UnsupportedError
from mgrad.expr import Expr, Shape, make
from mgrad.graph import origin
from mgrad.numpy.arguments import (
    as_node,
    canonical_axis,
    common_nodes,
    fail,
    public,
    refuse_option,
    refuse_out,
)
from mgrad.numpy.indexing import (
    Plan,
    getitem,
    index_node,
    plan_index,
    positions_of,
    region_of,
    result_order,
)
from mgrad.numpy.joining import pick_along, stack
from mgrad.numpy.operators import add, maximum, minimum, multiply
from mgrad.numpy.shaping import reorder
from mgrad.primitive import broadcast_shapes, broadcast_to, convert, is_traced
from mgrad.primitives import movement
from mgrad.primitives.indexing import gather, scatter
from mgrad.primitives.logic import where
from mgrad.primitives.movement import reshape_to

COMBINE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "set": lambda old, new: new,
    "add": add,
    "multiply": multiply,
    "min": minimum,
    "max": maximum,
}


@public(name="index_update")
def index_update(x: Expr, index: Any, values: Any, how: str) -> Expr:
    """`x.at[index].how(values)`."""
    update = convert(as_node(values), x.dtype)
    mask = _traced_mask(index)
    if mask is not None:
        return _masked_update(x, mask, update, how)
    plan = plan_index(x, index)
    if not plan.positions:
        return _update_region(x, plan, update, how)
    part = region_of(x, plan)
    part = _update_positions(part, plan, update, how)
    return _put_back(x, plan, part)


def _traced_mask(index: Any) -> Expr | None:
    if isinstance(index, tuple) and len(index) == 1:
        (index,) = index
    traced = isinstance(index, Expr) and index.dtype.kind == "b"
    return index if traced else None


def _masked_update(x: Expr, mask: Expr, update: Expr, how: str) -> Expr:
    """With a traced mask: a `where`, for values that broadcast against x."""
    if mask.shape != x.shape[: mask.ndim]:
        fail(
            IndexingError,
            "x.at[mask]",
            f"boolean index {origin(mask)} did not match {origin(x)}.",
        )
    if update.ndim > x.ndim - mask.ndim:
        fail(
            IndexingError,
            f"x.at[mask].{how}",
            f"the mask is traced ({origin(mask)}), so how many values it takes is "
            "unknown. Give one scalar, or use np.where(mask, values, x).",
        )
    full = broadcast_to(_fitting(update, x.shape[mask.ndim :], how), x.shape)
    wide = broadcast_to(
        reshape_to(mask, mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape
    )
    return where(wide, COMBINE[how](x, full), x)


def _fitting(update: Expr, shape: Shape, how: str) -> Expr:
    """The values broadcast to what was indexed; leading axes of extent 1 may go."""
    while update.ndim > len(shape) and update.shape[0] == 1:
        update = reshape_to(update, update.shape[1:])
    try:
        fits = np.broadcast_shapes(update.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        fail(
            ShapeError,
            f"x.at[index].{how}",
            f"could not broadcast the values {origin(update)} to the indexed shape "
            f"{shape}.",
        )
    return broadcast_to(update, shape)


def _update_region(x: Expr, plan: Plan, update: Expr, how: str) -> Expr:
    new = reshape_to(_fitting(update, plan.shape, how), plan.lengths)
    if how != "set":
        old = make(movement.slice_, (x,), (plan.starts, plan.lengths, plan.steps))
        new = COMBINE[how](old, new)
    return _lay(x, plan, new)


def _lay(x: Expr, plan: Plan, part: Expr) -> Expr:
    if part.shape == x.shape and all(t.start == 0 and t.step == 1 for t in plan.region):
        return part
    return make(movement.update_slice, (x, part), (plan.starts, plan.steps))


def _put_back(x: Expr, plan: Plan, part: Expr) -> Expr:
    return _lay(x, plan, reshape_to(part, plan.lengths))


def _update_positions(part: Expr, plan: Plan, update: Expr, how: str) -> Expr:
    """Scatter into the region, its axes with positions first."""
    indices = positions_of(plan)
    rank = indices[0].ndim
    rest = tuple(part.shape[i] for i in plan.order[len(plan.positions) :])
    gathered = (*indices[0].shape, *rest)
    order = result_order(plan, rank)
    target = tuple(gathered[i] for i in order)
    updates = reorder(_fitting(update, target, how), _inverse(order))
    base = reorder(part, plan.order)
    if how == "multiply":
        _refuse_duplicates(plan)
        updates, how = multiply(make(gather, (base, *indices), (0,)), updates), "set"
    boolean = part.dtype.kind == "b"
    if boolean and how != "set":
        how = {"add": "max"}.get(how, how)
        base, updates = convert(base, "int64"), convert(updates, "int64")
    result = make(scatter, (base, *indices, updates), (0, how))
    return convert(reorder(result, _inverse(plan.order)), part.dtype)


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(i) for i in range(len(order)))


def _refuse_duplicates(plan: Plan) -> None:
    arrays = list(plan.positions.values())
    if not any(isinstance(a, Expr) for a in arrays):
        flat = np.stack([a.ravel() for a in np.broadcast_arrays(*arrays)])
        if np.unique(flat, axis=1).shape[1] == flat.shape[1]:
            return
    fail(
        UnsupportedError,
        "x.at[index].multiply",
        "the positions may repeat, and products over repeated ones are not traced. "
        "Use constant, unique positions, or x.at[i].set(x[i] * v).",
    )


# --- named reads ----------------------------------------------------------------


@public(np.take)
def take(
    a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise"
) -> Expr:
    """Elements at positions along an axis."""
    refuse_out(out, "take")
    x = as_node(a)
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    along = canonical_axis(axis, x.ndim, "take")
    if mode not in ("raise", "wrap", "clip"):
        refuse_option("take", f"mode={mode!r}", "Use 'raise', 'wrap' or 'clip'.")
    if mode != "raise":
        indices = _limited(as_node(indices), x.shape[along], mode)
    if not isinstance(indices, (Expr, int)):
        indices = as_node(indices) if is_traced(indices) else np.asarray(indices)
    return getitem(x, (*(slice(None),) * along, indices))


def _limited(index: Expr, extent: int, mode: str) -> Expr:
    index = index_node(index) if index.dtype.kind in "bi" else index
    if mode == "wrap":
        return index % extent
    return minimum(maximum(index, 0), extent - 1)


@public(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Expr:
    """Elements at positions that differ along the other axes."""
    x, index = as_node(arr), as_node(indices)
    if index.dtype.kind != "i":
        fail(
            IndexingError,
            "take_along_axis",
            f"indices must be integers, got {index.dtype}.",
        )
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    if x.ndim != index.ndim:
        fail(
            ShapeError,
            "take_along_axis",
            f"the indices need as many axes as the array: {origin(index)} for "
            f"{origin(x)}.",
        )
    along = canonical_axis(axis, x.ndim, "take_along_axis")
    order = (*(i for i in range(x.ndim) if i != along), along)
    return reorder(
        _take_last(reorder(x, order), reorder(index, order)), _inverse(order)
    )


def _take_last(x: Expr, index: Expr) -> Expr:
    """Along the last axis; the others are batch axes."""
    heads = [reshape_to(n, (*n.shape[:-1], 1)) for n in (x, index)]
    batch = broadcast_shapes("take_along_axis", heads)[:-1]
    n = x.shape[-1]
    index = index_node(index)
    index = broadcast_to(where(index < 0, index + n, index), (*batch, index.shape[-1]))
    return make(gather, (broadcast_to(x, (*batch, n)), index), (len(batch),))


@public(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Expr:
    """Of several arrays the elements that positions name."""
    refuse_out(out, "choose")
    index, nodes = as_node(a), common_nodes("choose", choices)
    if index.dtype.kind not in "bi":
        fail(IndexingError, "choose", f"positions must be integers, got {index.dtype}.")
    if mode != "raise":
        index = _limited(index, len(nodes), mode)
    shape = broadcast_shapes("choose", [index, *nodes])
    table = stack([broadcast_to(n, shape) for n in nodes], axis=-1)
    position = reshape_to(broadcast_to(index_node(index), shape), (*shape, 1))
    return reshape_to(make(gather, (table, position), (len(shape),)), shape)


@public(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Expr:
    """Elements along an axis where a constant condition holds."""
    refuse_out(out, "compress")
    x = as_node(a)
    if isinstance(condition, Expr):
        fail(
            UnsupportedError,
            "compress",
            f"the condition is traced ({origin(condition)}), so the shape of the "
            "result is unknown. Use np.where(condition, x, otherwise).",
        )
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    along = canonical_axis(axis, x.ndim, "compress")
    return take(x, np.flatnonzero(condition), along)


@public(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Expr:
    """Without the elements at constant positions along an axis."""
    x = as_node(arr)
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    along = canonical_axis(axis, x.ndim, "delete")
    try:
        kept = np.delete(np.arange(x.shape[along]), obj)
    except IndexError as error:
        fail(IndexingError, "delete", f"{error}; the array is {origin(x)}.")
    return pick_along(x, along, kept)
