"""Linear families: moving elements, and laying them into new arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mgrad.expr import Expr, Params, Shape, make
from mgrad.primitive.base import Cotangent, Primitive, add
from mgrad.primitive.values import batch_broadcast, batch_size, full_like


class Linear(Primitive):
    """Operations linear in each differentiable operand on its own.

    The tangent is the same operation applied to one tangent at a time; subclasses
    give the transpose in each operand.
    """

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        total: Expr | None = None
        for position, t in enumerate(tangents):
            if t is not None:
                args = (*node.args[:position], t, *node.args[position + 1 :])
                total = add(total, make(self, args, node.params))
        return total


class Movement(Linear):
    """Operations that move elements of one operand and compute nothing.

    `numpy(x, *params)` is the meaning, `shape(in_shape, *params)` the result's
    shape, `transpose(ct, x, *params)` the transpose, and `batch(size, in_shape,
    *params)` the parameters when operand and result have a new axis 0.
    `index(out_index, in_shape, out_shape, *params)` gives the operand's index for an
    index of the result, or None where that is not affine; only an operation that
    keeps the row-major order, `keeps_order`, may say so.
    """

    def __init__(
        self,
        name: str,
        doc: str,
        *,
        numpy: Callable[..., Any],
        shape: Callable[..., Shape],
        index: Callable[..., Any],
        transpose: Callable[..., Expr],
        batch: Callable[..., Params],
        keeps_order: bool = False,
    ) -> None:
        super().__init__(name, doc)
        self.numpy = numpy
        self.shape = shape
        self.index = index
        self.transpose = transpose
        self.batch = batch
        self.keeps_order = keeps_order

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        return args[0].dtype, tuple(self.shape(args[0].shape, *params))

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        return self.numpy(*arrays, *params)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        value = self.transpose(ct.value, node.args[0], *node.params)
        mask = ct.mask
        if mask is not None:
            mask = self.transpose(mask, node.args[0], *node.params)
        return [Cotangent(value, mask)]

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        size = args[0].shape[0]
        params = self.batch(size, node.args[0].shape, *node.params)
        return make(self, args, params)


class Region(NamedTuple):
    """Where an operand goes in the result of an assembly: start and step by axis."""

    start: tuple[int, ...]
    step: tuple[int, ...]


class Assembly(Linear):
    """Operations that lay operands into regions of a new array, later ones on top.

    `shape(in_shapes, *params)` is the result's shape, `regions(in_shapes, *params)`
    a region for each operand; what no region covers is zero. `transpose(ct, node)`
    gives a cotangent for each operand; it also works on masks.
    """

    def __init__(
        self,
        name: str,
        doc: str,
        *,
        numpy: Callable[..., Any],
        shape: Callable[..., Shape],
        regions: Callable[..., list[Region]],
        transpose: Callable[[Expr, Expr], list[Expr]],
        batch: Callable[..., Params],
    ) -> None:
        super().__init__(name, doc)
        self.numpy = numpy
        self.shape = shape
        self.regions = regions
        self.transpose = transpose
        self.batch = batch

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        return args[0].dtype, tuple(self.shape([a.shape for a in args], *params))

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        return self.numpy(arrays, *params)

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        if all(t is None for t in tangents):
            return None
        pairs = zip(tangents, node.args, strict=True)
        full = tuple(full_like(a, 0) if t is None else t for t, a in pairs)
        return make(self, full, node.params)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        values = self.transpose(ct.value, node)
        if ct.mask is None:
            return [Cotangent(v) for v in values]
        masks = self.transpose(ct.mask, node)
        return [Cotangent(v, m) for v, m in zip(values, masks, strict=True)]

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        size = batch_size(args, batched)
        full = tuple(
            arg if is_batched else batch_broadcast(arg, size)
            for arg, is_batched in zip(args, batched, strict=True)
        )
        return make(self, full, self.batch(size, *node.params))
