"""Sums of products over shared letters, as in einsum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.expr import Expr, Params, Shape, make
from mgrad.primitive.base import REGISTRY, Cotangent
from mgrad.primitive.linear import Linear
from mgrad.primitive.values import broadcast_to

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Contraction(Linear):
    """The sum of x y over letters that the result lacks, as in einsum.

    Parameters are the letters of x, of y and of the result. Each letter stands at
    most once in each, and every letter of an operand is in the other or the result.
    """

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        extents = self.extents(args, params)
        return args[0].dtype, tuple(extents[letter] for letter in params[2])

    def extents(self, args: Sequence[Any], params: Params) -> dict[str, int]:
        """The extent of each letter."""
        pairs = [
            pair
            for arg, letters in zip(args, params[:2], strict=True)
            for pair in zip(letters, arg.shape, strict=True)
        ]
        return dict(pairs)

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        x, y, out = params
        return np.einsum(f"{x},{y}->{out}", *arrays).astype(arrays[0].dtype)

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        (x, y), (xs, ys, outs) = node.args, node.params
        return [
            Cotangent(self._transpose(ct.value, y, (outs, ys, xs), x.shape)),
            Cotangent(self._transpose(x, ct.value, (xs, outs, ys), y.shape)),
        ]

    def _transpose(self, x: Expr, y: Expr, letters: Params, shape: Shape) -> Expr:
        """Contract to an operand's letters; the derivative is a permutation of them."""
        xs, ys, target = letters
        present = "".join(c for c in target if c in xs or c in ys)
        value = make(self, (x, y), (xs, ys, present))
        kept = tuple(
            n if c in present else 1 for c, n in zip(target, shape, strict=True)
        )
        return broadcast_to(make(REGISTRY["reshape"], (value,), (kept,)), shape)

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        new = next(c for c in ALPHABET if c not in "".join(node.params))
        x, y, out = node.params
        x = new + x if batched[0] else x
        y = new + y if batched[1] else y
        return make(self, args, (x, y, new + out))
