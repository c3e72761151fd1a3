"""What a program is made of: slots, which name memory, and steps, which use it.

`check` refuses a program that would touch memory outside its slots; `encode` turns a
native step into the words that `mgrad_run` reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mgrad.compiler import blas, gemm
from mgrad.compiler.layout import GemvStep, LaunchStep, Opcode

Array = NDArray[Any]

_INT32_MAX = 2**31 - 1


# Slots ----------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """The data of leaf `index`."""

    index: int
    dtype: DTypeLike
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Output:
    """The data of result `index`, allocated by each call."""

    index: int
    dtype: DTypeLike
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that the program keeps."""

    array: Array

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True)
class Temporary:
    """A place in the arena."""

    offset_bytes: int
    dtype: DTypeLike
    shape: tuple[int, ...]


@dataclass(frozen=True)
class View:
    """A place inside another slot."""

    slot: int
    offset_bytes: int
    dtype: DTypeLike
    shape: tuple[int, ...]


Slot = Input | Output | Constant | Temporary | View


# Steps ----------------------------------------------------------------------


@dataclass(frozen=True)
class Launch:
    """A kernel over [0, size), by at most size // grain threads; grain 0: serially."""

    name: str
    address: int
    buffers: tuple[int, ...]
    extents: tuple[int, ...]
    size: int
    grain: int


@dataclass(frozen=True)
class Gemm:
    """C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C, row-major, `batch` times.

    `a, b, c` are slots; `ld*` (of the rows as stored) and `stride_*` (from one matrix
    of the batch to the next) count elements.
    """

    dtype: str
    m: int
    n: int
    k: int
    a: int
    lda: int
    trans_a: bool
    b: int
    ldb: int
    trans_b: bool
    c: int
    ldc: int
    alpha: float
    beta: float
    batch: int = 1
    stride_a: int = 0
    stride_b: int = 0
    stride_c: int = 0


@dataclass(frozen=True)
class Host:
    """A Python function of read-only NumPy views, which are valid during the call only.

    It returns a sequence of arrays, which are copied into the output slots.
    """

    name: str
    function: Callable[..., Sequence[Any]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


Step = Launch | Gemm | Host


def nbytes(slot: Slot) -> int:
    """The size of the slot's data."""
    return np.dtype(slot.dtype).itemsize * prod(slot.shape)


def slots_of(step: Step) -> tuple[int, ...]:
    """The slots that a step reads or writes."""
    if isinstance(step, Launch):
        return step.buffers
    if isinstance(step, Gemm):
        return step.a, step.b, step.c
    return step.inputs + step.outputs


# Checking -----------------------------------------------------------------------


def check(steps: Sequence[Step], slots: Sequence[Slot], arena_bytes: int) -> None:
    """Raise ValueError if a slot or a step reaches outside its memory."""
    leaves = {slot.index for slot in slots if isinstance(slot, Input)}
    if leaves != set(range(len(leaves))):
        raise ValueError(f"every leaf needs an Input slot; got {sorted(leaves)}")
    results = sorted(slot.index for slot in slots if isinstance(slot, Output))
    if results != list(range(len(results))):
        raise ValueError(f"every result needs one Output slot; got {results}")
    for index, slot in enumerate(slots):
        root, offset = root_of(index, slots)
        room = nbytes(slots[root])
        if isinstance(slot, Temporary):
            room, offset = arena_bytes, slot.offset_bytes
        if offset < 0 or offset + nbytes(slot) > room:
            raise ValueError(f"slot {index} does not fit into its memory: {slot}")
    for step in steps:
        if not all(0 <= slot < len(slots) for slot in slots_of(step)):
            raise ValueError(f"the step names a slot that does not exist: {step}")
        if isinstance(step, Launch) and (step.size < 0 or step.grain < 0):
            raise ValueError(f"size and grain must not be negative: {step}")
        if isinstance(step, Gemm):
            _check_gemm(step, slots)


def root_of(index: int, slots: Sequence[Slot]) -> tuple[int, int]:
    """The slot that owns the memory of slot `index`, and the offset into it."""
    root, offset = index, 0
    for _ in slots:
        slot = slots[root]
        if not isinstance(slot, View):
            return root, offset
        if not 0 <= slot.slot < len(slots):
            break
        root, offset = slot.slot, offset + slot.offset_bytes
    raise ValueError(f"slot {index} is a view of nothing: {slots[index]}")


def _check_gemm(step: Gemm, slots: Sequence[Slot]) -> None:
    """Check dimensions, dtypes, and that no matrix of the batch leaves its slot."""
    if min(step.m, step.n, step.k, step.batch) < 0:
        raise ValueError(f"dimensions must not be negative: {step}")
    if max(step.m, step.n, step.k, step.lda, step.ldb, step.ldc) > _INT32_MAX:
        raise ValueError(f"BLAS counts in 32 bits, a dimension is too large: {step}")
    operands = (
        ("a", step.a, _stored(step.m, step.k, step.trans_a), step.lda, step.stride_a),
        ("b", step.b, _stored(step.k, step.n, step.trans_b), step.ldb, step.stride_b),
        ("c", step.c, (step.m, step.n), step.ldc, step.stride_c),
    )
    for name, index, (rows, columns), ld, stride in operands:
        slot = slots[index]
        if np.dtype(slot.dtype) != np.dtype(step.dtype):
            raise ValueError(f"{name} is {slot.dtype}, not {step.dtype}: {step}")
        if rows * columns * step.batch == 0:
            continue
        last = (step.batch - 1) * stride + (rows - 1) * ld + columns
        if ld < columns or stride < 0 or last > prod(slot.shape):
            raise ValueError(f"{name} does not fit into slot {index} ({slot}): {step}")


def _stored(rows: int, columns: int, transposed: bool) -> tuple[int, int]:
    return (columns, rows) if transposed else (rows, columns)


# Encoding -----------------------------------------------------------------------


def encode(step: Step) -> list[int]:
    """The words of a native step; none for a host step, or if nothing is to be done."""
    if isinstance(step, Launch):
        return _encode_launch(step)
    if isinstance(step, Gemm) and step.m and step.n and step.batch:
        if not step.k:
            # An empty sum is asked for as alpha = 0, where BLAS must not read A and B:
            # not every BLAS still scales C when k is 0.
            lda, ldb = (max(1, step.lda), max(1, step.ldb))
            step = replace(step, k=1, alpha=0.0, lda=lda, ldb=ldb)
        if step.m == 1:
            return _encode_row_product(step)
        if step.n == 1:
            return _encode_column_product(step)
        return _encode_launch(_as_launch(step))
    return []


def _encode_launch(step: Launch) -> list[int]:
    words = [0] * LaunchStep.BUFFERS + [*step.buffers, *step.extents]
    words[LaunchStep.OPCODE] = Opcode.LAUNCH
    words[LaunchStep.LENGTH] = len(words)
    words[LaunchStep.ADDRESS] = step.address
    words[LaunchStep.SIZE] = step.size
    words[LaunchStep.GRAIN] = step.grain
    words[LaunchStep.EXTENTS] = LaunchStep.BUFFERS + len(step.buffers)
    words[LaunchStep.BUFFER_COUNT] = len(step.buffers)
    return words


def _as_launch(step: Gemm) -> Launch:
    """Blocks of rows, of columns, or matrices of the batch; a small product is one."""
    itemsize = np.dtype(step.dtype).itemsize
    axis, size, grain = gemm.split(step.m, step.n, step.k, step.batch)
    shared = gemm.is_shared(step.m, step.n, step.k, step.batch)
    row_a, row_c = (1 if step.trans_a else step.lda), step.ldc
    column_b = step.ldb if step.trans_b else 1
    steps = (
        (row_a, 0, row_c),
        (0, column_b, 1),
        (step.stride_a, step.stride_b, step.stride_c),
    )[axis]
    words = gemm.PartWords
    values = {
        words.ADDRESS: blas.gemm(step.dtype),
        words.PROCESS: gemm.words_address() if shared else 0,
        words.AXIS: axis,
        words.UNIT: 1 if axis == 2 else gemm.UNIT,
        words.DIMENSION: (step.m, step.n, step.batch)[axis],
        words.STEP_A: steps[0] * itemsize,
        words.STEP_B: steps[1] * itemsize,
        words.STEP_C: steps[2] * itemsize,
        words.TRANS_A: ord("T" if step.trans_a else "N"),
        words.TRANS_B: ord("T" if step.trans_b else "N"),
        words.M: step.m,
        words.N: step.n,
        words.K: step.k,
        words.ALPHA: _bits(step.alpha, itemsize),
        words.LDA: max(step.lda, _stored(step.m, step.k, step.trans_a)[1]),
        words.LDB: max(step.ldb, _stored(step.k, step.n, step.trans_b)[1]),
        words.BETA: _bits(step.beta, itemsize),
        words.LDC: step.ldc,
        words.BATCH: step.batch,
        words.STRIDE_A: step.stride_a * itemsize,
        words.STRIDE_B: step.stride_b * itemsize,
        words.STRIDE_C: step.stride_c * itemsize,
    }
    extents = tuple(values[word] for word in words)
    buffers = (step.a, step.b, step.c)
    grain = grain if shared else 0
    return Launch("gemm", gemm.address(), buffers, extents, size, grain)


def _encode_row_product(step: Gemm) -> list[int]:
    """c[1,n] = alpha a[1,k] op(B) + beta c, as op(B)' a."""
    return _encode_gemv(
        step,
        trans=step.trans_b,
        matrix=(
            step.b,
            *_stored(step.k, step.n, step.trans_b),
            step.ldb,
            step.stride_b,
        ),
        x=(step.a, step.lda if step.trans_a else 1, step.stride_a),
        y=(step.n, 1),
    )


def _encode_column_product(step: Gemm) -> list[int]:
    """c[m,1] = alpha op(A) b[k,1] + beta c."""
    return _encode_gemv(
        step,
        trans=not step.trans_a,
        matrix=(
            step.a,
            *_stored(step.m, step.k, step.trans_a),
            step.lda,
            step.stride_a,
        ),
        x=(step.b, 1 if step.trans_b else step.ldb, step.stride_b),
        y=(step.m, step.ldc),
    )


def _encode_gemv(
    step: Gemm,
    trans: bool,
    matrix: tuple[int, int, int, int, int],
    x: tuple[int, int, int],
    y: tuple[int, int],
) -> list[int]:
    """Matrix: slot, stored rows and columns, ld, stride; x: slot, increment, stride."""
    itemsize = np.dtype(step.dtype).itemsize
    slot, rows, columns, ld, stride = matrix
    values = {
        GemvStep.OPCODE: Opcode.GEMV,
        GemvStep.LENGTH: len(GemvStep),
        GemvStep.ADDRESS: blas.gemv(step.dtype),
        GemvStep.TRANS: ord("T" if trans else "N"),
        GemvStep.ROWS: columns,  # what is stored by rows is its transpose to BLAS
        GemvStep.COLUMNS: rows,
        GemvStep.ALPHA: _bits(step.alpha, itemsize),
        GemvStep.MATRIX: slot,
        GemvStep.LD: max(ld, columns),
        GemvStep.X: x[0],
        GemvStep.INCX: x[1],
        GemvStep.BETA: _bits(step.beta, itemsize),
        GemvStep.Y: step.c,
        GemvStep.INCY: y[1],
        GemvStep.BATCH: step.batch,
        GemvStep.STRIDE_MATRIX: stride * itemsize,
        GemvStep.STRIDE_X: x[2] * itemsize,
        GemvStep.STRIDE_Y: step.stride_c * itemsize,
        GemvStep.CLEAR: y[0] if step.beta == 0 else 0,
        GemvStep.ITEMSIZE: itemsize,
    }
    return [values[word] for word in GemvStep]


def _bits(value: float, itemsize: int) -> int:
    """The word whose first bytes are the float that BLAS reads by address."""
    data = struct.pack("=d" if itemsize == 8 else "=f", value).ljust(8, b"\0")
    return int.from_bytes(data, "little", signed=True)
