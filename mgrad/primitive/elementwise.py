"""Functions of corresponding elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mgrad.errors import DTypeError
from mgrad.expr import Expr, Params, Shape, format_source, make, user_line
from mgrad.primitive.base import (
    REGISTRY,
    Cotangent,
    Primitive,
    add,
    both,
    is_differentiable,
)
from mgrad.primitive.values import (
    as_expr,
    batch_broadcast,
    batch_size,
    broadcast_shapes,
    broadcast_to,
    full_like,
    result_type,
)

Partial = Any  # None (zero), a Python number, or an Expr
KIND_NAMES = {"b": "booleans", "i": "integers", "f": "floating-point numbers"}


def scale(factor: Expr, partial: Partial, mask: Expr | None = None) -> Expr | None:
    """`factor * partial`, where the factor is an absorbing zero outside the mask."""
    if partial is None:
        return None
    if isinstance(partial, (int, float)):
        if partial == 1:
            return factor
        return -factor if partial == -1 else factor * partial
    product: Expr = factor * partial
    if mask is None:
        return product
    return make(REGISTRY["select"], (mask, product, full_like(product, 0)))


class Elementwise(Primitive):
    """Functions of corresponding elements.

    `numpy` is the meaning, `scalar(s, *operands)` the form in the loop language,
    `partials(out, *operands)` the partial derivatives (None for zero), `domain` the
    interval that tests sample (one for all operands, or one for each), `cost` the
    time in units of an addition. `kinds` are the dtype kinds it computes with;
    operands of other kinds become float64. `result` is "same" or "bool". `singular`
    says where a partial is infinite; there a zero tangent or cotangent stays zero.
    """

    def __init__(
        self,
        name: str,
        doc: str,
        *,
        numpy: Callable[..., Any],
        scalar: Callable[..., Any],
        partials: Callable[..., tuple[Partial, ...]] | None = None,
        domain: Any = (-3.0, 3.0),
        cost: int = 1,
        kinds: str = "f",
        result: str = "same",
        arity: int = 1,
        singular: Callable[..., Expr] | None = None,
    ) -> None:
        super().__init__(name, doc)
        self.numpy = numpy
        self.scalar = scalar
        self.partials = partials
        self.singular = singular
        self.domain = domain
        self.cost = cost
        self.kinds = kinds
        self.result = result
        self.arity = arity

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        first = args[-1]
        dtype = np.dtype(bool) if self.result == "bool" else first.dtype
        return dtype, first.shape

    def __call__(self, *values: Any) -> Expr:
        """The node for these operands, promoted and broadcast as NumPy does."""
        dtype = result_type(*values)
        if dtype.kind not in self.kinds:
            dtype = self._computing_dtype(dtype)
        return self.bind([as_expr(v, dtype) for v in values])

    def _computing_dtype(self, dtype: np.dtype) -> np.dtype:
        if "f" in self.kinds and dtype.kind != "f":
            return np.dtype("int64" if "i" in self.kinds else "float64")
        raise DTypeError(
            f"{self.name} at {format_source(user_line())} takes "
            f"{' or '.join(KIND_NAMES[k] for k in self.kinds)}; got {dtype}. "
            "Convert the operands with x.astype(...) first."
        )

    def bind(self, nodes: Sequence[Expr]) -> Expr:
        """The node for operands that have their dtype already."""
        shape = broadcast_shapes(self.name, nodes)
        return make(self, tuple(broadcast_to(n, shape) for n in nodes))

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.numpy(*arrays)

    def partial_derivatives(self, node: Expr) -> tuple[Partial, ...]:
        """The partial derivative in each operand, as expressions."""
        if self.partials is None or not is_differentiable(node):
            return (None,) * len(node.args)
        return self.partials(node, *node.args)

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        total: Expr | None = None
        for t, partial in zip(tangents, self.partial_derivatives(node), strict=True):
            if t is not None:
                total = add(total, scale(t, partial, self._absorbed(node, t)))
        return total

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        mask = both(ct.mask, self._absorbed(node, ct.value))
        values = [scale(ct.value, p, mask) for p in self.partial_derivatives(node)]
        return [None if v is None else Cotangent(v, ct.mask) for v in values]

    def _absorbed(self, node: Expr, factor: Expr) -> Expr | None:
        """False where a zero factor meets an infinite partial derivative."""
        if self.singular is None:
            return None
        return ~(self.singular(node, *node.args) & (factor == 0))

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        size = batch_size(args, batched)
        full = [
            arg if is_batched else batch_broadcast(arg, size)
            for arg, is_batched in zip(args, batched, strict=True)
        ]
        return make(self, tuple(full), node.params)
