"""Sums computed in the buffer of one of their operands; made by `prepare` only."""

from __future__ import annotations

import numpy as np

from mgrad.expr import Expr, Params, Shape


class Accumulation:
    """base + f(operands), computed in base's buffer; the base is the last operand.

    Nothing else uses the base, which is a computed value.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        """The type of the base."""
        return args[-1].dtype, args[-1].shape


class ProductSum(Accumulation):
    """base += contract(x, y), by BLAS; parameters: the letters."""


class RegionSum(Accumulation):
    """base[region] += x; parameters: the region's starts and steps."""


contract_into = ProductSum("contract_into")
add_into_region = RegionSum("add_into_region")
