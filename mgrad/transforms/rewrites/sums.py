"""Rules for reductions and contractions."""

from __future__ import annotations

import math

from mgrad.expr import Expr, constant, make
from mgrad.primitive import REGISTRY, Reduction, broadcast_to
from mgrad.primitives.movement import reshape_to
from mgrad.transforms.rewrites.table import is_op, op, rule


@rule(Reduction)
def reduce_ones(node: Expr) -> Expr | None:
    """Reducing axes of extent 1, or none, moves nothing."""
    (x,), (axes,) = node.args, node.params
    unit = tuple(axis for axis in axes if x.shape[axis] == 1)
    if len(unit) == len(axes):
        return reshape_to(x, node.shape)
    if not unit:
        return None
    kept = tuple(n for axis, n in enumerate(x.shape) if axis not in unit)
    left = tuple(a - sum(u < a for u in unit) for a in axes if a not in unit)
    return make(node.primitive, (reshape_to(x, kept),), (left,))


@rule("reduce_sum", "reduce_max", "reduce_min", "reduce_any", "reduce_all")
def reduce_broadcast(node: Expr) -> Expr | None:
    """Along repeated axes: the sum of n equal numbers, or just the number."""
    (x,), (axes,) = node.args, node.params
    if not is_op(x, "broadcast_to") or not x.size:
        return None
    (source,) = x.args
    extra = x.ndim - source.ndim
    repeated = [
        axis for axis in axes if axis < extra or source.shape[axis - extra] == 1
    ]
    if not repeated:
        return None
    count = math.prod(x.shape[axis] for axis in repeated)
    kept_shape = tuple(1 if a in repeated else n for a, n in enumerate(x.shape))
    once = broadcast_to(source, kept_shape)
    total = make(node.primitive, (once,), (axes,))
    if not is_op(node, "reduce_sum") or count == 1:
        return total
    return op("multiply", total, broadcast_to(constant(count, node.dtype), total.shape))


@rule("contract")
def contract_without_sum(node: Expr) -> Expr | None:
    """No letter is summed over: an elementwise product."""
    xs, ys, out = node.params
    if set(xs + ys) != set(out) or node.dtype.kind == "b":
        return None
    x, y = node.args
    return op("multiply", _spread(x, xs, node), _spread(y, ys, node))


def _spread(x: Expr, letters: str, node: Expr) -> Expr:
    """An operand laid out along the letters of the result."""
    out = node.params[2]
    order = tuple(letters.index(c) for c in out if c in letters)
    if order != tuple(range(len(order))):
        x = make(REGISTRY["transpose"], (x,), (order,))
    pairs = zip(out, node.shape, strict=True)
    return broadcast_to(
        reshape_to(x, tuple(n if c in letters else 1 for c, n in pairs)), node.shape
    )


@rule("contract")
def contract_transposed(node: Expr) -> Expr | None:
    """The letters of a transposed operand in the order of the original."""
    args, letters = list(node.args), list(node.params)
    for position, x in enumerate(node.args):
        if is_op(x, "transpose"):
            (order,) = x.params
            pairs = sorted(zip(order, letters[position], strict=True))
            args[position] = x.args[0]
            letters[position] = "".join(c for _, c in pairs)
    if not any(is_op(x, "transpose") for x in node.args):
        return None
    return make(node.primitive, tuple(args), tuple(letters))


@rule("contract")
def contract_ones(node: Expr) -> Expr | None:
    """Letters of extent 1 stand for nothing."""
    extents = node.primitive.extents(node.args, node.params)
    ones = {c for c, n in extents.items() if n == 1}
    if not ones:
        return None
    letters = tuple("".join(c for c in word if c not in ones) for word in node.params)
    args = tuple(
        reshape_to(x, tuple(extents[c] for c in word))
        for x, word in zip(node.args, letters, strict=False)
    )
    return reshape_to(make(node.primitive, args, letters), node.shape)


@rule("contract")
def contract_broadcast(node: Expr) -> Expr | None:
    """A letter along which an operand only repeats itself is dropped from it.

    If the letter is summed over, the other operand is summed first; if the other has
    no such letter, the result repeats itself along it.
    """
    if node.dtype.kind == "b":
        return None
    for position in (0, 1):
        repeated = _repeated(node.args[position], node.params[position])
        if repeated:
            return _without(node, position, repeated)
    return None


def _repeated(x: Expr, letters: str) -> set[str]:
    """The letters of axes that a broadcast made."""
    if not is_op(x, "broadcast_to"):
        return set()
    (source,) = x.args
    extra = x.ndim - source.ndim
    return {
        c
        for axis, c in enumerate(letters)
        if x.shape[axis] != 1 and (axis < extra or source.shape[axis - extra] == 1)
    }


def _without(node: Expr, position: int, repeated: set[str]) -> Expr:
    letters, args = list(node.params), list(node.args)
    x, other = args[position], args[1 - position]
    once = tuple(
        1 if c in repeated else n
        for c, n in zip(letters[position], x.shape, strict=True)
    )
    kept = tuple(
        n for c, n in zip(letters[position], x.shape, strict=True) if c not in repeated
    )
    args[position] = reshape_to(broadcast_to(x.args[0], once), kept)
    letters[position] = "".join(c for c in letters[position] if c not in repeated)
    word, out = letters[1 - position], letters[2]
    summed = tuple(i for i, c in enumerate(word) if c in repeated and c not in out)
    if summed:
        args[1 - position] = make(REGISTRY["reduce_sum"], (other,), (summed,))
        letters[1 - position] = "".join(
            c for i, c in enumerate(word) if i not in summed
        )
    lost = {c for c in repeated if c in out and c not in word}
    letters[2] = "".join(c for c in out if c not in lost)
    value = make(node.primitive, tuple(args), tuple(letters))
    shape = tuple(1 if c in lost else n for c, n in zip(out, node.shape, strict=True))
    return broadcast_to(reshape_to(value, shape), node.shape)


@rule("transpose")
def transpose_of_contract(node: Expr) -> Expr | None:
    """The letters of the result in another order."""
    (x,), (order,) = node.args, node.params
    if not is_op(x, "contract"):
        return None
    xs, ys, out = x.params
    return make(x.primitive, x.args, (xs, ys, "".join(out[axis] for axis in order)))
