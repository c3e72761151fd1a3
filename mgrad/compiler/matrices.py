"""Contractions seen as (batches of) row-major matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from mgrad.compiler.affine import strides
from mgrad.expr import Params, Shape


@dataclass(frozen=True)
class Letters:
    """The letters of a contraction by role: rows, columns, summed, batch."""

    m: str
    n: str
    k: str
    batch: str
    extents: dict[str, int]
    shapes: tuple[Shape, Shape]

    @property
    def groups(self) -> tuple[str, str, str, str]:
        """Rows, columns, summed, batch."""
        return self.m, self.n, self.k, self.batch

    def size(self, letters: str) -> int:
        """The product of their extents."""
        return prod(self.extents[c] for c in letters)


@dataclass(frozen=True)
class Matrix:
    """A view of a buffer: leading dimension, transposed or not, stride of the batch."""

    leading: int
    transposed: bool
    batch_stride: int


@dataclass(frozen=True)
class Matrices:
    """x[m,k] @ y[k,n] -> out[m,n]; `swapped` if x and y change places."""

    x: Matrix
    y: Matrix
    out: Matrix
    swapped: bool


def letters_of(shapes: tuple[Shape, Shape], params: Params) -> Letters:
    """Each letter's role."""
    xs, ys, outs = params
    extents = dict(zip(xs + ys, shapes[0] + shapes[1], strict=True))
    return Letters(
        m="".join(c for c in outs if c in xs and c not in ys),
        n="".join(c for c in outs if c in ys and c not in xs),
        k="".join(c for c in xs if c not in outs),
        batch="".join(c for c in outs if c in xs and c in ys),
        extents=extents,
        shapes=shapes,
    )


def as_matrices(letters: Letters, params: Params) -> Matrices | None:
    """The product as BLAS takes it without moving elements, or None."""
    xs, ys, outs = params
    out_shape = tuple(letters.extents[c] for c in outs)
    out = matrix(letters, outs, out_shape, letters.m, letters.n)
    x = matrix(letters, xs, letters.shapes[0], letters.m, letters.k)
    y = matrix(letters, ys, letters.shapes[1], letters.k, letters.n)
    if out is None or x is None or y is None:
        return None
    if not out.transposed:
        return Matrices(x, y, out, swapped=False)
    flip = {True: False, False: True}
    return Matrices(
        Matrix(y.leading, flip[y.transposed], y.batch_stride),
        Matrix(x.leading, flip[x.transposed], x.batch_stride),
        Matrix(out.leading, False, out.batch_stride),
        swapped=True,
    )


def matrix(
    letters: Letters, own: str, shape: Shape, rows: str, columns: str
) -> Matrix | None:
    """Strides of rows, columns and batch in one operand, if they are uniform."""
    stride = dict(zip(own, strides(shape), strict=True))
    steps = [step(group, stride, letters) for group in (rows, columns, letters.batch)]
    if None in steps:
        return None
    row, column, batch = (s for s in steps if s is not None)
    n_rows, n_columns = letters.size(rows), letters.size(columns)
    if column == 1 or n_columns == 1:
        leading = row if n_rows > 1 else n_columns
        if (column == 1 and leading >= n_columns) or (n_columns == 1 and leading >= 1):
            return Matrix(max(leading, 1), False, batch)
    if row == 1 or n_rows == 1:
        leading = column if n_columns > 1 else n_rows
        return Matrix(max(leading, 1), True, batch) if leading >= n_rows else None
    return None


def step(group: str, stride: dict[str, int], letters: Letters) -> int | None:
    """The stride of merged axes; 0 for none, None if they do not merge."""
    wide: Sequence[str] = [c for c in group if letters.extents[c] != 1]
    for left, right in pairwise(wide):
        if stride[left] != stride[right] * letters.extents[right]:
            return None
    if not wide:
        return 1 if group else 0
    return stride[wide[-1]]
