"""Reading and writing at computed positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.expr import Expr, Params, Shape, constant, make
from mgrad.primitive.base import REGISTRY, Cotangent, Primitive, is_differentiable
from mgrad.primitive.values import batch_broadcast, batch_size, broadcast_to, full_like


def _positions(x: Any, indices: Sequence[Any], batch: int) -> tuple[Any, ...]:
    """NumPy's index tuple for arrays that are batched along the first axes."""
    rank = np.ndim(indices[0])
    grids = []
    for axis in range(batch):
        shape = [1] * rank
        shape[axis] = -1
        grids.append(np.arange(x.shape[axis]).reshape(shape))
    return (*grids, *indices)


class Indexing(Primitive):
    """Gather and scatter: dynamic positions along the axes after the batch axes.

    `indices(node)` are the index operands, all of one shape that starts with the
    batch axes; `target(node)` is the array that they point into. Positions are in
    bounds: programs assert it once for each index operand.
    """

    def indices(self, node: Expr) -> tuple[Expr, ...]:
        """The index operands."""
        raise NotImplementedError

    def bounds(self, node: Expr) -> list[tuple[Expr, int]]:
        """Index operands, each with the extent of the axis that it points into."""
        batch, shape = node.params[0], node.args[0].shape
        return [(i, shape[batch + k]) for k, i in enumerate(self.indices(node))]


class Gather(Indexing):
    """x at index arrays: x[batch..., i, j, ...]; the parameter counts batch axes."""

    def indices(self, node: Expr) -> tuple[Expr, ...]:
        return node.args[1:]

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        (batch,) = params
        rest = args[0].shape[batch + len(args) - 1 :]
        return args[0].dtype, (*args[1].shape, *rest)

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        x, *indices = arrays
        return np.asarray(x)[_positions(x, indices, params[0])]

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        if tangents[0] is None:
            return None
        return make(self, (tangents[0], *node.args[1:]), node.params)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        x, *indices = node.args
        args = (full_like(x, 0), *indices, ct.value)
        return [
            Cotangent(make(REGISTRY["scatter"], args, (*node.params, "add"))),
            *(None for _ in indices),
        ]

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        (batch,) = node.params
        size = batch_size(args, batched)
        keep_whole = batch == 0 and not batched[0]
        full = [
            arg if is_batched else batch_broadcast(arg, size)
            for arg, is_batched in zip(args[1:], batched[1:], strict=True)
        ]
        if keep_whole:
            return make(self, (args[0], *full), (0,))
        x = args[0] if batched[0] else batch_broadcast(args[0], size)
        return make(self, (x, *full), (batch + 1,))


class Scatter(Indexing):
    """x with updates written at index arrays; parameters: batch axes, how.

    Operands are x, the indices, and the updates. `how` is "add" (once for each
    duplicate), "set" (the last duplicate wins), "min" or "max".
    """

    def indices(self, node: Expr) -> tuple[Expr, ...]:
        return node.args[1:-1]

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        return args[0].dtype, args[0].shape

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        x, *indices, updates = arrays
        batch, how = params
        out = np.array(x)
        at = _positions(x, indices, batch)
        if how == "set":
            out[at] = updates
        else:
            {"add": np.add, "min": np.minimum, "max": np.maximum}[how].at(
                out, at, updates
            )
        return out

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        x, *indices, updates = node.args
        tx, tu = tangents[0], tangents[-1]
        if tx is None and tu is None:
            return None
        tx = full_like(x, 0) if tx is None else tx
        tu = full_like(updates, 0) if tu is None else tu
        how = node.params[1]
        if how in ("min", "max"):
            share_x, share_u = self._shares(node)
            return make(
                self, (tx * share_x, *indices, tu * share_u), (node.params[0], "add")
            )
        return make(self, (tx, *indices, tu), node.params)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        if not is_differentiable(node):
            return [None] * len(node.args)
        _, *indices, updates = node.args
        batch, how = node.params
        ct_x, ct_updates = (
            ct.value,
            make(REGISTRY["gather"], (ct.value, *indices), (batch,)),
        )
        if how == "set":
            zero = full_like(updates, 0)
            ct_x = make(self, (ct.value, *indices, zero), node.params)
            ct_updates = ct_updates * self._winners(node)
        elif how in ("min", "max"):
            share_x, share_updates = self._shares(node)
            ct_x, ct_updates = ct_x * share_x, ct_updates * share_updates
        return [Cotangent(ct_x), *(None for _ in indices), Cotangent(ct_updates)]

    def _winners(self, node: Expr) -> Expr:
        """1 for updates that end in the result of a "set", 0 for overwritten ones."""
        x, *indices, updates = node.args
        batch, _ = node.params
        shape = indices[0].shape
        number = make(REGISTRY["iota"], (), (shape, "int64"))
        rest = (1,) * (updates.ndim - len(shape))
        board = broadcast_to(
            constant(-1, np.dtype("int64")), x.shape[: batch + len(indices)]
        )
        board = make(self, (board, *indices, number), (batch, "set"))
        wins = (make(REGISTRY["gather"], (board, *indices), (batch,)) == number).astype(
            x.dtype
        )
        return broadcast_to(wins.reshape(*shape, *rest), updates.shape)

    def _shares(self, node: Expr) -> tuple[Expr, Expr]:
        """How the old element and each update share the cotangent of an extreme."""
        x, *indices, updates = node.args
        batch, _ = node.params
        hit_x = (x == node).astype(x.dtype)
        at = make(REGISTRY["gather"], (node, *indices), (batch,))
        hit_updates = (updates == at).astype(x.dtype)
        count = make(self, (hit_x, *indices, hit_updates), (batch, "add"))
        return hit_x / count, hit_updates / make(
            REGISTRY["gather"], (count, *indices), (batch,)
        )

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        size = batch_size(args, batched)
        full = tuple(
            arg if is_batched else batch_broadcast(arg, size)
            for arg, is_batched in zip(args, batched, strict=True)
        )
        batch, how = node.params
        return make(self, full, (batch + 1, how))


class Iota(Primitive):
    """The row-major number of each element; parameters: shape, dtype."""

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        shape, dtype = params
        return np.dtype(dtype), shape

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        shape, dtype = params
        return np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
