"""Rules for what only moves elements."""

from __future__ import annotations

import numpy as np

from mgrad.expr import Expr, Shape, constant, make
from mgrad.primitive import Movement, broadcast_to
from mgrad.primitives.movement import reshape_to, take_slice
from mgrad.transforms.rewrites.table import is_number, is_op, number, rule, uniform


@rule(Movement)
def move_uniform(node: Expr) -> Expr | None:
    """All elements are equal, so wherever they go."""
    scalar = uniform(node.args[0])
    if scalar is None:
        return None
    moved = broadcast_to(scalar, node.shape)
    return None if moved is node else moved


@rule("broadcast_to")
def broadcast_of_broadcast(node: Expr) -> Expr | None:
    (x,) = node.args
    if x.shape == node.shape:
        return x
    return broadcast_to(x.args[0], node.shape) if is_op(x, "broadcast_to") else None


@rule("broadcast_to")
def broadcast_of_leading_ones(node: Expr) -> Expr | None:
    """Broadcasting adds leading axes by itself."""
    (x,) = node.args
    if not is_op(x, "reshape"):
        return None
    source = x.args[0]
    extra = x.ndim - source.ndim
    if extra > 0 and x.shape == (1,) * extra + source.shape:
        return broadcast_to(source, node.shape)
    return None


@rule("reshape")
def reshape_of_reshape(node: Expr) -> Expr | None:
    (x,) = node.args
    if x.shape == node.shape:
        return x
    return reshape_to(x.args[0], node.shape) if is_op(x, "reshape") else None


@rule("reshape")
def reshape_of_broadcast(node: Expr) -> Expr | None:
    """A broadcast whose new axes only gain or lose ones is one broadcast."""
    (x,) = node.args
    if not is_op(x, "broadcast_to"):
        return None
    (source,) = x.args
    if _wide(x.shape) != _wide(node.shape) or 0 in x.shape:
        return None
    if len(_wide(x.shape)) != len(_wide(source.shape)):
        return None
    return reshape_to(source, node.shape) if source.size == node.size else None


def _wide(shape: Shape) -> list[int]:
    return [n for n in shape if n != 1]


@rule("transpose")
def transpose_of_transpose(node: Expr) -> Expr | None:
    (x,), (order,) = node.args, node.params
    if order == tuple(range(len(order))):
        return x
    if not is_op(x, "transpose"):
        return None
    inner = x.params[0]
    return make(node.primitive, x.args, (tuple(inner[axis] for axis in order),))


@rule("transpose")
def transpose_of_ones(node: Expr) -> Expr | None:
    """Axes of extent 1 may go anywhere: a reshape."""
    (x,), (order,) = node.args, node.params
    wide = [axis for axis in order if x.shape[axis] != 1]
    return reshape_to(x, node.shape) if wide == sorted(wide) else None


@rule("slice")
def slice_whole(node: Expr) -> Expr | None:
    new = take_slice(node.args[0], *node.params)
    return None if new is node else new


@rule("slice")
def slice_of_slice(node: Expr) -> Expr | None:
    (x,) = node.args
    if not is_op(x, "slice"):
        return None
    starts, lengths, steps = node.params
    first, _, stride = x.params
    joint = tuple(a + b * s for a, b, s in zip(first, starts, stride, strict=True))
    pace = tuple(a * b for a, b in zip(stride, steps, strict=True))
    return take_slice(x.args[0], joint, lengths, pace)


@rule("slice")
def slice_of_pad(node: Expr) -> Expr | None:
    """What was laid into zeros, taken out again."""
    (x,) = node.args
    if not is_op(x, "pad"):
        return None
    starts, lengths, steps = node.params
    _, pad_starts, pad_steps = x.params
    (source,) = x.args
    same = (starts, lengths, steps) == (pad_starts, source.shape, pad_steps)
    return source if same else None


@rule("slice")
def slice_of_concatenate(node: Expr) -> Expr | None:
    """A slice that lies in one of the parts."""
    (x,) = node.args
    if not is_op(x, "concatenate"):
        return None
    starts, lengths, steps = node.params
    (axis,) = x.params
    if not lengths[axis]:
        return None
    last = starts[axis] + steps[axis] * (lengths[axis] - 1)
    low, high = min(starts[axis], last), max(starts[axis], last)
    offset = 0
    for part in x.args:
        if offset <= low and high < offset + part.shape[axis]:
            inside = (*starts[:axis], starts[axis] - offset, *starts[axis + 1 :])
            return take_slice(part, inside, lengths, steps)
        offset += part.shape[axis]
    return None


@rule("pad")
def pad_nothing(node: Expr) -> Expr | None:
    (x,) = node.args
    if node.shape == x.shape and all(step == 1 for step in node.params[2]):
        return x
    return None


@rule("pad")
def pad_of_zeros(node: Expr) -> Expr | None:
    zeros = is_number(node.args[0], 0) and not np.signbit(number(node.args[0]))
    return broadcast_to(constant(0, node.dtype), node.shape) if zeros else None


@rule("concatenate")
def concatenate_nonempty(node: Expr) -> Expr | None:
    """Empty parts add nothing; one part is the whole."""
    (axis,) = node.params
    parts = tuple(part for part in node.args if part.shape[axis])
    if len(parts) == 1:
        return parts[0]
    if not parts or len(parts) == len(node.args):
        return None
    return make(node.primitive, parts, node.params)
