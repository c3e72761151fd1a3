"""Indexing as NumPy does it: basic, advanced and mixed."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from mgrad.errors import ConcreteValueError, IndexingError, ShapeError
from mgrad.expr import Expr, Shape, captured, make
from mgrad.graph import origin
from mgrad.numpy.arguments import fail, public
from mgrad.numpy.shaping import reorder
from mgrad.primitive import as_expr, broadcast_shapes, broadcast_to, convert, is_traced
from mgrad.primitives.indexing import gather
from mgrad.primitives.logic import where
from mgrad.primitives.movement import reshape_to, take_slice

INT64 = np.dtype("int64")
_arrays: WeakValueDictionary[Any, np.ndarray] = WeakValueDictionary()


def index_node(index: Any) -> Expr:
    """A node for positions; equal concrete ones are one node."""
    if isinstance(index, Expr):
        return convert(index, INT64)
    array = np.ascontiguousarray(index, INT64).reshape(np.shape(index))
    key = (array.shape, array.tobytes())
    return captured(_arrays.setdefault(key, array))


@dataclass(frozen=True)
class Taken:
    """One axis of `x` under a basic index: start, length, step; `drop` for an int."""

    start: int
    length: int
    step: int
    drop: bool = False


@dataclass(frozen=True)
class Plan:
    """An index in parts: a region of x, then new axes, then positions along axes.

    `axes` has an entry for each axis of the region without dropped ones and with new
    ones: its positions, or None. `place` is where the gathered axes go.
    """

    region: tuple[Taken, ...]
    shape: Shape
    positions: dict[int, Any]
    place: int

    @property
    def starts(self) -> Shape:
        """Where the region starts."""
        return tuple(t.start for t in self.region)

    @property
    def steps(self) -> Shape:
        """The region's steps."""
        return tuple(t.step for t in self.region)

    @property
    def lengths(self) -> Shape:
        """The region's extents, with dropped axes."""
        return tuple(t.length for t in self.region)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes with positions first."""
        rest = [i for i in range(len(self.shape)) if i not in self.positions]
        return (*self.positions, *rest)


def plan_index(x: Expr, index: Any) -> Plan:
    """The parts of an index, all checked."""
    entries = _expand(x, [_entry(x, i) for i in _split(index)])
    region: list[Taken] = []
    shape: list[int] = []
    positions: dict[int, Any] = {}
    advanced: list[int] = []
    place = 0
    for number, entry in enumerate(entries):
        axis = len(region)
        if entry is None:
            shape.append(1)
        elif entry is Ellipsis:
            continue
        elif isinstance(entry, _Flag):
            positions[len(shape)] = np.zeros((int(entry.value),), INT64)
            shape.append(1)
            advanced.append(number)
        elif isinstance(entry, slice):
            region.append(_slice(entry, x.shape[axis]))
            shape.append(region[-1].length)
        elif isinstance(entry, int):
            region.append(Taken(_in_bounds(x, entry, axis), 1, 1, drop=True))
            advanced.append(number)
        else:
            positions[len(shape)] = _wrapped(x, entry, axis)
            region.append(Taken(0, x.shape[axis], 1))
            shape.append(x.shape[axis])
            advanced.append(number)
        if len(advanced) == 1 and advanced[0] == number:
            place = len(shape) - len(positions)
    apart = bool(advanced) and advanced[-1] - advanced[0] >= len(advanced)
    return Plan(tuple(region), tuple(shape), positions, 0 if apart else place)


@dataclass(frozen=True)
class _Flag:
    """A boolean scalar as an index: a new axis of extent 1 or 0."""

    value: bool


def _split(index: Any) -> list[Any]:
    return list(index) if isinstance(index, tuple) else [index]


def _entry(x: Expr, index: Any) -> Any:
    """One part of an index, in canonical form: a list where it covers several axes."""
    if index is None or index is Ellipsis or isinstance(index, slice):
        return index
    if isinstance(index, (bool, np.bool_)):
        return _Flag(bool(index))
    if isinstance(index, (int, np.integer)):
        return int(index)
    if isinstance(index, (list, tuple)):
        index = as_expr(index) if is_traced(index) else _index_array(index)
    if isinstance(index, Expr):
        return _traced_entry(x, index)
    if hasattr(index, "__array__") or isinstance(index, range):
        return _concrete_entry(np.asarray(index))
    try:
        return operator.index(index)
    except TypeError:
        fail(
            IndexingError,
            "x[index]",
            "only integers, slices (:), ellipsis (...), np.newaxis (None) and integer "
            f"or boolean arrays are valid indices; got {type(index).__name__}.",
        )


def _index_array(index: Any) -> np.ndarray:
    try:
        array = np.asarray(index)
    except ValueError as error:
        fail(IndexingError, "x[index]", f"a ragged list is no index ({error}).")
    return array.astype(INT64) if array.size == 0 and array.dtype.kind == "f" else array


def _traced_entry(x: Expr, index: Expr) -> Any:
    if index.dtype.kind == "b":
        fail(
            IndexingError,
            "x[mask]",
            f"the mask is traced ({origin(index)}), so the shape of the result is "
            "unknown. Use np.where(mask, x, otherwise), a sum with where=mask, or "
            "x.at[mask].set(v).",
        )
    if index.dtype.kind != "i":
        _refuse_dtype(index)
    return index


def _refuse_dtype(index: Any) -> None:
    fail(
        IndexingError,
        "x[index]",
        f"arrays used as indices must be of integer or boolean type, got "
        f"{index.dtype}. Convert the index with .astype(int).",
    )


def _concrete_entry(array: np.ndarray) -> Any:
    if array.dtype.kind == "b":
        return _Flag(bool(array)) if array.ndim == 0 else _Mask(array)
    if array.dtype.kind not in "iu":
        _refuse_dtype(array)
    return int(array) if array.ndim == 0 else array


@dataclass(frozen=True)
class _Mask:
    """A concrete boolean mask of one or more axes."""

    array: np.ndarray

    @property
    def ndim(self) -> int:
        """The axes that it covers."""
        return self.array.ndim


def _expand(x: Expr, entries: list[Any]) -> list[Any]:
    """The ellipsis written out, masks as positions, missing axes as slices."""
    used = sum(_consumed(e) for e in entries)
    dots = [i for i, e in enumerate(entries) if e is Ellipsis]
    if len(dots) > 1:
        fail(
            IndexingError, "x[index]", "an index can only have a single ellipsis (...)."
        )
    if used > x.ndim:
        fail(
            IndexingError,
            "x[index]",
            f"too many indices: {origin(x)} has {x.ndim} axes, but {used} were "
            "indexed.",
        )
    at = dots[0] if dots else len(entries)
    tail = entries[at + 1 :]
    fill: list[Any] = [slice(None)] * (x.ndim - used)
    if dots and not fill:
        fill = [Ellipsis]  # of no width, yet it sets the advanced indices apart
    expanded: list[Any] = []
    axis = 0
    for entry in [*entries[:at], *fill, *tail]:
        if isinstance(entry, _Mask):
            expected = x.shape[axis : axis + entry.ndim]
            if entry.array.shape != expected:
                fail(
                    IndexingError,
                    "x[mask]",
                    f"boolean index did not match {origin(x)} along axis {axis}: the "
                    f"mask has shape {entry.array.shape}, the axes {expected}.",
                )
            expanded.extend(np.nonzero(entry.array))
        else:
            expanded.append(entry)
        axis += _consumed(entry)
    return expanded


def _consumed(entry: Any) -> int:
    if entry is None or entry is Ellipsis or isinstance(entry, _Flag):
        return 0
    return entry.ndim if isinstance(entry, _Mask) else 1


def _slice(entry: slice, extent: int) -> Taken:
    try:
        start, stop, step = entry.indices(extent)
    except ConcreteValueError:
        raise
    except (TypeError, ValueError) as error:
        fail(
            IndexingError,
            "x[start:stop:step]",
            f"{error}; got {entry.start}:{entry.stop}:{entry.step}.",
        )
    length = len(range(start, stop, step))
    return Taken(start, length, step) if length else Taken(0, 0, 1)


def _in_bounds(x: Expr, index: int, axis: int) -> int:
    extent = x.shape[axis]
    if not -extent <= index < extent:
        fail(
            IndexingError,
            "x[index]",
            f"index {index} is out of bounds for axis {axis} with size {extent} of "
            f"{origin(x)}.",
        )
    return index % extent


def _wrapped(x: Expr, index: Any, axis: int) -> Any:
    """Positions with negative ones counted from the end."""
    extent = x.shape[axis]
    if isinstance(index, Expr):
        index = convert(index, INT64)
        return where(index < 0, index + extent, index)
    index = index.astype(INT64)
    wrong = index[(index < -extent) | (index >= extent)]
    if wrong.size:
        _in_bounds(x, int(wrong.flat[0]), axis)
    return np.where(index < 0, index + extent, index)


def positions_of(plan: Plan) -> tuple[Expr, ...]:
    """The index operands, broadcast together."""
    arrays = list(plan.positions.values())
    if not any(isinstance(a, Expr) for a in arrays):
        try:
            arrays = list(np.broadcast_arrays(*arrays))
        except ValueError:
            shapes = " ".join(str(np.shape(a)) for a in arrays)
            fail(
                IndexingError,
                "x[index]",
                "shape mismatch: indexing arrays could not be broadcast together with "
                f"shapes {shapes}.",
            )
    nodes = [index_node(a) for a in arrays]
    try:
        shape = broadcast_shapes("x[index]", nodes)
    except ShapeError as error:
        raise IndexingError(str(error)) from None
    return tuple(broadcast_to(n, shape) for n in nodes)


def region_of(x: Expr, plan: Plan) -> Expr:
    """The basic part: a slice, without dropped axes and with new ones."""
    part = take_slice(x, plan.starts, plan.lengths, plan.steps)
    return reshape_to(part, plan.shape)


def result_order(plan: Plan, rank: int) -> tuple[int, ...]:
    """How the gathered axes (of this rank, first) move to their place."""
    total = rank + len(plan.shape) - len(plan.positions)
    rest = list(range(rank, total))
    return (*rest[: plan.place], *range(rank), *rest[plan.place :])


@public(name="getitem")
def getitem(x: Expr, index: Any) -> Expr:
    """x[index]."""
    plan = plan_index(x, index)
    part = region_of(x, plan)
    if not plan.positions:
        return part
    indices = positions_of(plan)
    found = make(gather, (reorder(part, plan.order), *indices), (0,))
    return reorder(found, result_order(plan, indices[0].ndim))
