"""Combining elements along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mgrad.expr import Expr, Params, Shape, make
from mgrad.primitive.base import REGISTRY, Cotangent, Primitive, is_differentiable
from mgrad.primitive.elementwise import Partial, scale
from mgrad.primitive.values import broadcast_to


class Reduction(Primitive):
    """Combining elements along axes; the parameter is the sorted tuple of axes.

    `numpy(x, axis)` is the meaning, `identity(dtype)` the start, `combine(s, total, x)`
    the step in the loop language, `partial(x, out, axes)` the derivative of the
    result (broadcast to x's shape) in each element: a number, a node, or None.
    """

    def __init__(
        self,
        name: str,
        doc: str,
        *,
        numpy: Callable[..., Any],
        identity: Callable[[np.dtype], Any],
        combine: Callable[..., Any],
        partial: Callable[..., Partial],
        domain: Any = (-3.0, 3.0),
        kinds: str = "bif",
    ) -> None:
        super().__init__(name, doc)
        self.numpy = numpy
        self.identity = identity
        self.combine = combine
        self.partial = partial
        self.domain = domain
        self.kinds = kinds

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        (axes,) = params
        kept = (n for axis, n in enumerate(args[0].shape) if axis not in axes)
        return args[0].dtype, tuple(kept)

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        return self.numpy(arrays[0], params[0])

    def _partial(self, node: Expr) -> Partial:
        (x,), (axes,) = node.args, node.params
        if not is_differentiable(node):
            return None
        return self.partial(x, self.spread(node, node), axes)

    def spread(self, value: Expr, node: Expr) -> Expr:
        """A value of the result's shape repeated along the reduced axes."""
        (x,), (axes,) = node.args, node.params
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        reshaped = make(REGISTRY["reshape"], (value,), (kept,))
        return broadcast_to(reshaped, x.shape)

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        if tangents[0] is None:
            return None
        scaled = scale(tangents[0], self._partial(node))
        if scaled is None:
            return None
        return make(REGISTRY["reduce_sum"], (scaled,), node.params)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        mask = None if ct.mask is None else self.spread(ct.mask, node)
        value = scale(self.spread(ct.value, node), self._partial(node), mask)
        return [None if value is None else Cotangent(value, mask)]

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        return make(self, args, (tuple(axis + 1 for axis in node.params[0]),))
