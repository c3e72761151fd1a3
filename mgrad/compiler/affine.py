"""Positions as affine functions of loop variables, with concrete coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple


class Affine(NamedTuple):
    """constant + the sum of coefficient * variable; variables are sorted numbers."""

    constant: int
    terms: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: Affine | int) -> Affine:  # type: ignore[override]
        if isinstance(other, int):
            return Affine(self.constant + other, self.terms)
        if not self.terms or not other.terms:
            return Affine(self.constant + other.constant, self.terms or other.terms)
        total = dict(self.terms)
        for variable, coefficient in other.terms:
            total[variable] = total.get(variable, 0) + coefficient
        terms = tuple(sorted(t for t in total.items() if t[1]))
        return Affine(self.constant + other.constant, terms)

    def __radd__(self, other: int) -> Affine:
        return self + other

    def __mul__(self, factor: int) -> Affine:  # type: ignore[override]
        if factor == 1:
            return self
        if factor == 0:
            return Affine(0)
        return Affine(
            self.constant * factor, tuple((v, c * factor) for v, c in self.terms)
        )

    def __rmul__(self, factor: int) -> Affine:  # type: ignore[override]
        return self * factor

    def coefficient(self, variable: int) -> int:
        """The factor of a variable."""
        return dict(self.terms).get(variable, 0)


def variable(number: int) -> Affine:
    """The loop variable itself."""
    return Affine(0, ((number, 1),))


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def flat(index: Sequence[Affine | int], shape: Sequence[int]) -> Affine:
    """The row-major position of an index."""
    position = Affine(0)
    for i, extent, stride in zip(index, shape, strides(shape), strict=True):
        if extent != 1:
            position = position + i * stride
    return position
