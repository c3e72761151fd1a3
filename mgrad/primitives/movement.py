"""Moving elements: broadcast, transpose, reshape, slice, pad, concatenate, update."""

# mypy: disable-error-code="has-type"
# (declarations refer to one another, their rules are equations)

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.expr import Expr, Params, Shape, make
from mgrad.primitive import Assembly, Movement, Region, full_like
from mgrad.primitives.reduction import total

# --- broadcast_to(x, shape) -----------------------------------------------------


def _broadcast_index(index: Any, in_shape: Shape, out_shape: Shape, _: Shape) -> Any:
    own = index[len(out_shape) - len(in_shape) :]
    return [0 if n == 1 else i for i, n in zip(own, in_shape, strict=True)]


def _unbroadcast(ct: Expr, x: Expr, shape: Shape) -> Expr:
    """Sum over the axes that the broadcast repeated."""
    extra = len(shape) - x.ndim
    repeated = [i for i, n in enumerate(x.shape) if n == 1 and shape[i + extra] != 1]
    axes = (*range(extra), *(i + extra for i in repeated))
    return reshape_to(total(ct, axes), x.shape)


def _broadcast_batch(size: int, in_shape: Shape, shape: Shape) -> Params:
    return ((size, *shape),)


class _Broadcast(Movement):
    """The operand's axes align to the right, so a batch axis needs ones after it."""

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        (x,) = args
        ones = (1,) * (node.ndim - (x.ndim - 1))
        aligned = reshape_to(x, (x.shape[0], *ones, *x.shape[1:]))
        return make(self, (aligned,), ((x.shape[0], *node.shape),))


broadcast = _Broadcast(
    "broadcast_to",
    "x repeated along new axes and axes of extent 1.",
    numpy=np.broadcast_to,
    shape=lambda in_shape, shape: shape,
    index=_broadcast_index,
    transpose=_unbroadcast,
    batch=_broadcast_batch,
)

# --- transpose(x, order) --------------------------------------------------------

permute = Movement(
    "transpose",
    "x with its axes in another order.",
    numpy=np.transpose,
    shape=lambda in_shape, order: tuple(in_shape[axis] for axis in order),
    index=lambda index, in_shape, out_shape, order: [
        index[order.index(axis)] for axis in range(len(order))
    ],
    transpose=lambda ct, x, order: make(
        permute, (ct,), (tuple(int(i) for i in np.argsort(order)),)
    ),
    batch=lambda size, in_shape, order: ((0, *(axis + 1 for axis in order)),),
)

# --- reshape(x, shape) ----------------------------------------------------------


def reshape_to(x: Expr, shape: Shape) -> Expr:
    """`x` with another shape of the same size."""
    return x if x.shape == shape else make(reshape, (x,), (shape,))


def axis_groups(in_shape: Shape, out_shape: Shape) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of input and output axes with equal products, from the left."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(in_shape) or j < len(out_shape):
        ins, outs, have, want = [], [], 1, 1
        if i < len(in_shape):
            ins, have, i = [i], in_shape[i], i + 1
        if j < len(out_shape):
            outs, want, j = [j], out_shape[j], j + 1
        while have != want:
            if (have < want and i < len(in_shape)) or j >= len(out_shape):
                ins, have, i = [*ins, i], have * in_shape[i], i + 1
            else:
                outs, want, j = [*outs, j], want * out_shape[j], j + 1
        groups.append((ins, outs))
    return groups


def _reshape_index(index: Any, in_shape: Shape, out_shape: Shape, _: Shape) -> Any:
    """Where one input axis meets several output axes, the index is affine."""
    if 0 in in_shape:
        return None
    result: list[Any] = [0] * len(in_shape)
    for ins, outs in axis_groups(in_shape, out_shape):
        wide = [axis for axis in ins if in_shape[axis] != 1]
        if len(wide) > 1:
            return None
        if wide:
            position: Any = 0
            for axis in outs:
                position = position * out_shape[axis] + index[axis]
            result[wide[0]] = position
    return result


reshape = Movement(
    "reshape",
    "x with another shape, elements in row-major order.",
    numpy=np.reshape,
    shape=lambda in_shape, shape: shape,
    index=_reshape_index,
    transpose=lambda ct, x, shape: reshape_to(ct, x.shape),
    batch=lambda size, in_shape, shape: ((size, *shape),),
    keeps_order=True,
)

# --- slice(x, starts, lengths, steps) -------------------------------------------


def _slices(starts: Shape, lengths: Shape, steps: Shape) -> tuple[Any, ...]:
    result = []
    for start, length, step in zip(starts, lengths, steps, strict=True):
        stop: int | None = start + step * length
        result.append(slice(start, None if step < 0 and stop < 0 else stop, step))  # type: ignore[operator]
    return tuple(result)


slice_ = Movement(
    "slice",
    "Elements at start + step i along each axis; steps may be negative.",
    numpy=lambda x, starts, lengths, steps: np.asarray(x)[
        _slices(starts, lengths, steps)
    ],
    shape=lambda in_shape, starts, lengths, steps: lengths,
    index=lambda index, in_shape, out_shape, starts, lengths, steps: [
        i * step + start for i, start, step in zip(index, starts, steps, strict=True)
    ],
    transpose=lambda ct, x, starts, lengths, steps: make(
        pad, (ct,), (x.shape, starts, steps)
    ),
    batch=lambda size, in_shape, starts, lengths, steps: (
        (0, *starts),
        (size, *lengths),
        (1, *steps),
    ),
)


def take_slice(x: Expr, starts: Shape, lengths: Shape, steps: Shape) -> Expr:
    """The slice, or `x` itself where it is the whole."""
    if lengths == x.shape and not any(starts) and all(s == 1 for s in steps):
        return x
    return make(slice_, (x,), (starts, lengths, steps))


# --- assemblies -----------------------------------------------------------------


def _assemble(parts: Sequence[Any], shape: Shape, regions: list[Region]) -> Any:
    out = np.zeros(shape, np.asarray(parts[0]).dtype)
    for part, region in zip(parts, regions, strict=True):
        out[_slices(region.start, np.shape(part), region.step)] = part
    return out


def _whole(shape: Shape) -> Region:
    return Region((0,) * len(shape), (1,) * len(shape))


pad = Assembly(
    "pad",
    "x laid into zeros at start + step i along each axis.",
    numpy=lambda parts, shape, starts, steps: _assemble(
        parts, shape, [Region(starts, steps)]
    ),
    shape=lambda in_shapes, shape, starts, steps: shape,
    regions=lambda in_shapes, shape, starts, steps: [Region(starts, steps)],
    transpose=lambda ct, node: [
        make(slice_, (ct,), (node.params[1], node.args[0].shape, node.params[2]))
    ],
    batch=lambda size, shape, starts, steps: (
        (size, *shape),
        (0, *starts),
        (1, *steps),
    ),
)


def _joined_shape(in_shapes: list[Shape], axis: int) -> Shape:
    first = in_shapes[0]
    return (*first[:axis], sum(s[axis] for s in in_shapes), *first[axis + 1 :])


def _joined_regions(in_shapes: list[Shape], axis: int) -> list[Region]:
    regions, offset = [], 0
    for shape in in_shapes:
        start = [0] * len(shape)
        start[axis] = offset
        regions.append(Region(tuple(start), (1,) * len(shape)))
        offset += shape[axis]
    return regions


concatenate = Assembly(
    "concatenate",
    "Operands one after another along an axis.",
    numpy=lambda parts, axis: np.concatenate(parts, axis),
    shape=_joined_shape,
    regions=_joined_regions,
    transpose=lambda ct, node: [
        make(slice_, (ct,), (region.start, arg.shape, region.step))
        for arg, region in zip(
            node.args,
            _joined_regions([a.shape for a in node.args], *node.params),
            strict=True,
        )
    ],
    batch=lambda size, axis: (axis + 1,),
)


def _update_transpose(ct: Expr, node: Expr) -> list[Expr]:
    starts, steps = node.params
    part = node.args[1]
    hole = full_like(part, 0, ct.dtype)
    return [
        make(update_slice, (ct, hole), (starts, steps)),
        make(slice_, (ct,), (starts, part.shape, steps)),
    ]


update_slice = Assembly(
    "update_slice",
    "x with y laid over it at start + step i along each axis.",
    numpy=lambda parts, starts, steps: _assemble(
        parts, parts[0].shape, [_whole(parts[0].shape), Region(starts, steps)]
    ),
    shape=lambda in_shapes, starts, steps: in_shapes[0],
    regions=lambda in_shapes, starts, steps: [
        _whole(in_shapes[0]),
        Region(starts, steps),
    ],
    transpose=_update_transpose,
    batch=lambda size, starts, steps: ((0, *starts), (1, *steps)),
)


def size_of(shape: Shape) -> int:
    """The number of elements."""
    return math.prod(shape)
