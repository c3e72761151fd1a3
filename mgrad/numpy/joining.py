"""Joining, splitting, repeating and padding arrays."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr, make
from mgrad.graph import origin
from mgrad.numpy.arguments import (
    Axis,
    as_node,
    canonical_axis,
    canonical_shape,
    common_nodes,
    fail,
    public,
    refuse_option,
    refuse_out,
)
from mgrad.numpy.indexing import index_node
from mgrad.numpy.shaping import atleast_1d, atleast_2d, atleast_3d, reorder
from mgrad.primitive import (
    as_expr,
    broadcast_shapes,
    broadcast_to,
    convert,
    result_type,
)
from mgrad.primitives import movement
from mgrad.primitives.indexing import gather
from mgrad.primitives.movement import reshape_to, take_slice


def section(x: Expr, axis: int, start: int, stop: int, step: int = 1) -> Expr:
    """Elements `start`, `start + step`, ... before `stop` along one axis."""
    length = len(range(start, stop, step))
    starts, lengths, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], lengths[axis], steps[axis] = start if length else 0, length, step
    return take_slice(x, tuple(starts), tuple(lengths), tuple(steps))


def joined(name: str, nodes: Sequence[Expr], axis: int, dtype: Any = None) -> Expr:
    """The nodes one after another along a canonical axis, in their common dtype."""
    first = nodes[0]
    for node in nodes:
        apart = [i for i in range(first.ndim) if i != axis]
        if node.ndim != first.ndim or any(
            node.shape[i] != first.shape[i] for i in apart
        ):
            fail(
                ShapeError,
                name,
                f"the shapes must agree except along axis {axis}: {origin(first)} and "
                f"{origin(node)}. Reshape or pad one of them.",
            )
    target = result_type(*nodes) if dtype is None else np.dtype(dtype)
    nodes = [convert(node, target) for node in nodes]
    if len(nodes) == 1:
        return nodes[0]
    return make(movement.concatenate, tuple(nodes), (axis,))


@public(np.concatenate, np.concat)
def concatenate(
    arrays: Any,
    /,
    axis: int | None = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Expr:
    """Arrays one after another along an axis."""
    refuse_out(out, "concatenate")
    nodes = common_nodes("concatenate", arrays)
    if axis is None:
        nodes, axis = [reshape_to(n, (n.size,)) for n in nodes], 0
    if any(node.ndim == 0 for node in nodes):
        fail(
            ShapeError,
            "concatenate",
            "scalars have no axis to join along. Use np.stack, or np.reshape(x, 1).",
        )
    return joined(
        "concatenate", nodes, canonical_axis(axis, nodes[0].ndim, "concatenate"), dtype
    )


@public(np.stack)
def stack(
    arrays: Any,
    axis: int = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Expr:
    """Arrays of one shape along a new axis."""
    refuse_out(out, "stack")
    nodes = common_nodes("stack", arrays)
    first = nodes[0]
    for node in nodes:
        if node.shape != first.shape:
            fail(
                ShapeError,
                "stack",
                f"all arrays must have one shape, got {origin(first)} and "
                f"{origin(node)}. Use np.concatenate, or broadcast them first.",
            )
    along = canonical_axis(axis, first.ndim + 1, "stack")
    shape = (*first.shape[:along], 1, *first.shape[along:])
    return joined("stack", [reshape_to(n, shape) for n in nodes], along, dtype)


def _stacking(name: str, least: Any, axis: Any) -> Any:
    def function(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Expr:
        nodes = [least(node) for node in common_nodes(name, tup)]
        along = axis(nodes[0])
        return joined(name, nodes, along, dtype)

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return public(getattr(np, name))(function)


vstack = _stacking("vstack", atleast_2d, lambda x: 0)
hstack = _stacking("hstack", atleast_1d, lambda x: 0 if x.ndim == 1 else 1)
dstack = _stacking("dstack", atleast_3d, lambda x: 2)


@public(np.column_stack)
def column_stack(tup: Any) -> Expr:
    """Vectors as the columns of a matrix."""
    nodes = common_nodes("column_stack", tup)
    columns = [reshape_to(n, (n.size, 1)) if n.ndim < 2 else n for n in nodes]
    return joined("column_stack", columns, 1)


@public(np.block)
def block(arrays: Any) -> Expr:
    """An array of nested lists of blocks."""
    depth, probe = 0, arrays
    while isinstance(probe, list):
        if not probe:
            fail(ShapeError, "block", "a list of blocks is empty.")
        depth, probe = depth + 1, probe[0]
    rank = max(depth, _block_rank(arrays))
    return _block(arrays, rank, rank - depth)


def _block_rank(arrays: Any) -> int:
    if isinstance(arrays, list):
        return max(map(_block_rank, arrays))
    return as_node(arrays).ndim


def _block(arrays: Any, rank: int, axis: int) -> Expr:
    if not isinstance(arrays, list):
        node = as_node(arrays)
        return reshape_to(node, (1,) * (rank - node.ndim) + node.shape)
    return joined("block", [_block(a, rank, axis + 1) for a in arrays], axis)


@public(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Expr:
    """`values` after `arr`."""
    return concatenate((as_node(arr), as_node(values)), axis)


# --- splitting ------------------------------------------------------------------


@public(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Expr]:
    """Parts along an axis, of equal size or between positions."""
    x = as_node(ary)
    along = canonical_axis(axis, x.ndim, "split")
    if np.ndim(indices_or_sections) == 0 and x.shape[along] % int(indices_or_sections):
        fail(
            ShapeError,
            "split",
            f"{x.shape[along]} elements along axis {along} of {origin(x)} do not make "
            f"{indices_or_sections} equal parts. Use np.array_split for unequal ones.",
        )
    return array_split(x, indices_or_sections, axis)


@public(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Expr]:
    """Parts along an axis, of nearly equal size or between positions."""
    x = as_node(ary)
    along = canonical_axis(axis, x.ndim, "array_split")
    n = x.shape[along]
    if np.ndim(indices_or_sections) == 0:
        count = int(indices_or_sections)
        if count <= 0:
            fail(
                ShapeError,
                "array_split",
                f"the number of parts must be > 0, got {count}.",
            )
        size, extra = divmod(n, count)
        ends = np.cumsum([size + (i < extra) for i in range(count)]).tolist()
        return [section(x, along, a, b) for a, b in zip([0, *ends], ends, strict=False)]
    points = [int(i) for i in indices_or_sections]
    pieces = zip([0, *points], [*points, n], strict=True)
    return [section(x, along, *slice(a, b).indices(n)[:2]) for a, b in pieces]


def _splitting(name: str, axis: Any, least: int) -> Any:
    def function(ary: Any, indices_or_sections: Any) -> list[Expr]:
        x = as_node(ary)
        if x.ndim < least:
            fail(ShapeError, name, f"needs {least} axes at least, got {origin(x)}.")
        return split(x, indices_or_sections, axis(x))

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return public(getattr(np, name))(function)


hsplit = _splitting("hsplit", lambda x: 0 if x.ndim == 1 else 1, 1)
vsplit = _splitting("vsplit", lambda x: 0, 2)
dsplit = _splitting("dsplit", lambda x: 2, 3)


@public(getattr(np, "unstack", None))
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Expr, ...]:
    """The parts along an axis, without it."""
    node = as_node(x)
    along = canonical_axis(axis, node.ndim, "unstack")
    shape = (*node.shape[:along], *node.shape[along + 1 :])
    parts = (section(node, along, i, i + 1) for i in range(node.shape[along]))
    return tuple(reshape_to(part, shape) for part in parts)


# --- repeating ------------------------------------------------------------------


def pick_along(x: Expr, axis: int, positions: Any) -> Expr:
    """`x` at concrete positions along one axis, as slices where they run evenly."""
    runs = _runs([int(p) for p in positions])
    if len(runs) > MOST_RUNS:
        order = (axis, *(i for i in range(x.ndim) if i != axis))
        found = make(gather, (reorder(x, order), index_node(positions)), (0,))
        return reorder(found, tuple(order.index(i) for i in range(x.ndim)))
    if not runs:
        return section(x, axis, 0, 0)
    return joined("take", [_run(x, axis, *run) for run in runs], axis)


MOST_RUNS = 8


def _runs(positions: list[int]) -> list[tuple[int, int, int]]:
    """(start, length, step) of the runs, of step 1, 0 or -1, in the positions."""
    runs: list[tuple[int, int, int]] = []
    for p in positions:
        if runs:
            start, length, step = runs[-1]
            if length == 1 and abs(p - start) <= 1:
                runs[-1] = (start, 2, p - start)
                continue
            if length > 1 and p == start + length * step:
                runs[-1] = (start, length + 1, step)
                continue
        runs.append((p, 1, 1))
    return runs


def _run(x: Expr, axis: int, start: int, length: int, step: int) -> Expr:
    if step == 0:
        one = section(x, axis, start, start + 1)
        shape = tuple(length if i == axis else n for i, n in enumerate(x.shape))
        return broadcast_to(one, shape)
    return section(x, axis, start, start + length * step, step)


@public(np.roll)
def roll(a: Any, shift: Any, axis: Axis = None) -> Expr:
    """Elements moved along axes, the last ones to the front."""
    x = as_node(a)
    if axis is None:
        flat = roll(reshape_to(x, (x.size,)), int(np.sum(shift)), 0)
        return reshape_to(flat, x.shape)
    for amount, along in np.broadcast(shift, axis):
        i = canonical_axis(along, x.ndim, "roll")
        n = x.shape[i]
        if n and int(amount) % n:
            cut = n - int(amount) % n
            x = joined("roll", [section(x, i, cut, n), section(x, i, 0, cut)], i)
    return x


@public(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Expr:
    """Each element so many times; the counts are constants."""
    x = as_node(a)
    if axis is None:
        x, axis = reshape_to(x, (x.size,)), 0
    along = canonical_axis(axis, x.ndim, "repeat")
    if isinstance(repeats, Expr):
        fail(
            ShapeError,
            "repeat",
            "the counts are traced, so the shape of the result is unknown. "
            "Give Python numbers, or pass them as a static argument.",
        )
    counts = np.asarray(repeats)
    if counts.size != 1:
        return pick_along(x, along, np.repeat(np.arange(x.shape[along]), counts))
    count = int(counts.reshape(()))
    before, after = x.shape[: along + 1], x.shape[along + 1 :]
    spread = broadcast_to(reshape_to(x, (*before, 1, *after)), (*before, count, *after))
    return reshape_to(spread, (*before[:-1], before[-1] * count, *after))


@public(np.tile)
def tile(A: Any, reps: Any) -> Expr:
    """The array laid side by side."""
    x, counts = as_node(A), canonical_shape(reps, "tile")
    rank = max(x.ndim, len(counts))
    shape = (1,) * (rank - x.ndim) + x.shape
    counts = (1,) * (rank - len(counts)) + counts
    ones = reshape_to(x, tuple(m for n in shape for m in (1, n)))
    wide = tuple(m for c, n in zip(counts, shape, strict=True) for m in (c, n))
    total = tuple(c * n for c, n in zip(counts, shape, strict=True))
    return reshape_to(broadcast_to(ones, wide), total)


@public(np.resize)
def resize(a: Any, new_shape: Any) -> Expr:
    """Another shape and size, elements repeated."""
    x, shape = as_node(a), canonical_shape(new_shape, "resize")
    size = int(np.prod(shape))
    flat = reshape_to(x, (x.size,))
    if x.size == 0 or size == 0:
        return reshape_to(broadcast_to(as_expr(0, x.dtype), (size,)), shape)
    flat = tile(flat, -(-size // x.size))
    return reshape_to(section(flat, 0, 0, size), shape)


# --- padding --------------------------------------------------------------------

PAD_MODES = ("edge", "reflect", "symmetric", "wrap")


@public(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Expr:
    """Wider on each side; modes constant, edge, reflect, symmetric and wrap."""
    x = as_node(array)
    widths = _pad_widths(x, pad_width)
    if mode == "constant":
        return _pad_constant(x, widths, options.get("constant_values", 0))
    if mode == "empty":
        return _pad_constant(x, widths, 0)
    if mode not in PAD_MODES or options.get("reflect_type", "even") != "even":
        names = ", ".join(("constant", *PAD_MODES))
        refuse_option("pad", f"mode={mode!r} {options or ''}", f"Modes are {names}.")
    for axis, (low, high) in enumerate(widths):
        if low or high:
            n = x.shape[axis]
            if n == 0:
                fail(
                    ShapeError,
                    "pad",
                    f"cannot extend the empty axis {axis} by {mode!r}.",
                )
            x = pick_along(x, axis, np.pad(np.arange(n), (low, high), mode=mode))
    return x


def _pad_widths(x: Expr, pad_width: Any) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        table = {canonical_axis(k, x.ndim, "pad"): v for k, v in pad_width.items()}
        pad_width = [table.get(axis, 0) for axis in range(x.ndim)]
        pad_width = [(w, w) if np.ndim(w) == 0 else tuple(w) for w in pad_width]
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    except ValueError:
        fail(
            ShapeError,
            "pad",
            f"pad_width={pad_width} does not give (before, after) for each axis of "
            f"{origin(x)}.",
        )
    if (widths < 0).any() or widths.dtype.kind not in "iu":
        fail(ShapeError, "pad", f"pad_width must be integers >= 0, got {pad_width}.")
    return [(int(low), int(high)) for low, high in widths]


def _pad_constant(x: Expr, widths: list[tuple[int, int]], values: Any) -> Expr:
    if isinstance(values, (int, float)) and values == 0:
        shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
        starts = tuple(a for a, _ in widths)
        return (
            make(movement.pad, (x,), (shape, starts, (1,) * x.ndim))
            if shape != x.shape
            else x
        )
    filling = as_node(values)
    filling = broadcast_to(filling, broadcast_shapes("pad", [filling, _pairs(x.ndim)]))
    for axis, sizes in enumerate(widths):
        sides = []
        for side, size in enumerate(sizes):
            shape = tuple(size if i == axis else n for i, n in enumerate(x.shape))
            sides.append(broadcast_to(convert(filling[axis, side], x.dtype), shape))
        x = joined("pad", [sides[0], x, sides[1]], axis)
    return x


def _pairs(rank: int) -> Expr:
    return broadcast_to(as_expr(0), (rank, 2))
