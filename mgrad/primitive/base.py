"""What every family declares: the base class, the registry, cotangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mgrad.expr import Expr, Params, Shape

REGISTRY: dict[str, Primitive] = {}


class Cotangent(NamedTuple):
    """A cotangent, and where it can be other than an exact, absorbing zero.

    `mask` is None, or a boolean node of the same shape: False marks elements that
    a `where` above did not select, whose cotangent stays zero whatever (NaN or
    infinity) it is multiplied by.
    """

    value: Expr
    mask: Expr | None = None


class Primitive:
    """Base of the families: a name, a docstring and the rules of one operation."""

    def __init__(self, name: str, doc: str) -> None:
        if name in REGISTRY:
            raise ValueError(f"a primitive named {name} exists already")
        self.name = name
        self.__doc__ = doc
        REGISTRY[name] = self

    def __repr__(self) -> str:
        return self.name

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        """The dtype and shape of the result."""
        raise NotImplementedError

    def evaluate(self, params: Params, *arrays: Any) -> Any:
        """The NumPy meaning."""
        raise NotImplementedError

    def jvp(self, node: Expr, tangents: Sequence[Expr | None]) -> Expr | None:
        """The tangent of the result; None stands for zero."""
        raise NotImplementedError

    def vjp(self, node: Expr, ct: Cotangent) -> Sequence[Cotangent | None]:
        """The cotangent of each operand; None stands for zero."""
        raise NotImplementedError

    def vmap(self, node: Expr, args: tuple[Expr, ...], batched: list[bool]) -> Expr:
        """The result with a batch axis 0, given operands of which some have one."""
        raise NotImplementedError


def add(x: Expr | None, y: Expr | None) -> Expr | None:
    """The sum, where None is zero."""
    if x is None or y is None:
        return x if y is None else y
    return x + y


def both(x: Expr | None, y: Expr | None) -> Expr | None:
    """The conjunction of two masks, where None is true."""
    if x is None or y is None:
        return x if y is None else y
    return x & y


def add_cotangents(x: Cotangent | None, y: Cotangent | None) -> Cotangent | None:
    """The sum; it is an absorbing zero only where both are."""
    if x is None or y is None:
        return x if y is None else y
    mask = None if x.mask is None or y.mask is None else x.mask | y.mask
    return Cotangent(x.value + y.value, mask)


def is_differentiable(node: Expr) -> bool:
    """Whether a node can carry a tangent or cotangent."""
    return node.dtype.kind == "f"
