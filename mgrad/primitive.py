"""The families of primitives and the registry.

A primitive is one declaration; its family derives the rest: the type of the
result, the interpreter, both derivative modes, the batching rule and what the
compiler needs. `REGISTRY` enrols each in every test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mgrad.errors import DTypeError, ShapeError
from mgrad.expr import (
    Expr,
    Params,
    Shape,
    captured,
    check_dtype,
    constant,
    describe,
    format_source,
    literal,
    make,
    user_line,
)
from mgrad.graph import origin
from mgrad.protocols import NAMESPACE

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


# --- Values that become nodes -------------------------------------------------


def is_traced(value: Any) -> bool:
    """An Expr, or a list or tuple with one inside."""
    if isinstance(value, (list, tuple)):
        return any(map(is_traced, value))
    return isinstance(value, Expr)


def as_expr(value: Any, dtype: np.dtype | None = None) -> Expr:
    """A node for an array, number or (nested) list, converted to `dtype` if given."""
    if isinstance(value, Expr):
        node = value
    elif isinstance(value, (bool, int, float, np.generic)):
        return constant(value, dtype)
    elif isinstance(value, np.ndarray):
        node = captured(value)
    elif isinstance(value, (list, tuple)):
        if is_traced(value):
            node = NAMESPACE["stack"]([as_expr(v) for v in value])
        else:
            node = captured(concrete_array(value))
    else:
        raise DTypeError(
            f"expected an array or a number at {format_source(user_line())}, got "
            f"{type(value).__name__}. Convert it with np.asarray(x, dtype=...) first."
        )
    return node if dtype is None or node.dtype == dtype else convert(node, dtype)


def concrete_array(value: Any) -> np.ndarray:
    """`np.asarray` whose complaint about ragged lists is ours."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            f"expected a rectangular array at {format_source(user_line())}, got a "
            f"ragged nested list ({error}). Pad the rows to one length, or keep them "
            "as separate arrays in a pytree."
        ) from None
    check_dtype(array.dtype)
    return array


def convert(node: Expr, dtype: Any) -> Expr:
    """`node` as another dtype."""
    target = check_dtype(dtype)
    value = literal(node)
    if value is not None:
        return constant(value, target)
    if node.dtype == target:
        return node
    return make(REGISTRY["convert"], (node,), (target.name,))


_WEAK = {"b": False, "i": 0, "f": 0.0}


def promotion_operand(value: Any) -> Any:
    """What stands for a value in `np.result_type`: Python scalars stay weak."""
    if isinstance(value, Expr):
        return _WEAK[value.dtype.kind] if value.weak else value.dtype
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype
    return as_expr(value).dtype


def result_type(*values: Any) -> np.dtype:
    """NumPy's promotion (NEP 50)."""
    operands = [promotion_operand(v) for v in values]
    try:
        found = np.result_type(*operands)
    except (TypeError, OverflowError) as error:
        raise DTypeError(f"{error}, at {format_source(user_line())}") from None
    return check_dtype(found)


def is_weak(value: Any) -> bool:
    """A Python number, or a node that stands for one."""
    if isinstance(value, Expr):
        return value.weak
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def shape_of(value: Any) -> Shape:
    """The shape of a node, array or number."""
    return value.shape if isinstance(value, (Expr, np.ndarray)) else np.shape(value)


def broadcast_shapes(name: str, nodes: Sequence[Expr]) -> Shape:
    """The common shape of operands, or an error that names them and their lines."""
    first = nodes[0].shape
    if all(node.shape == first for node in nodes):
        return first
    try:
        return np.broadcast_shapes(*(node.shape for node in nodes))
    except ValueError:
        operands = " and ".join(origin(n) for n in nodes if n.shape != ())
        raise ShapeError(
            f"{name} at {format_source(user_line())}: the operands do not broadcast: "
            f"{operands}. Extents must be equal or 1 from the last axis on; insert an "
            "axis with x[:, None] or reshape one of them."
        ) from None


def broadcast_to(node: Expr, shape: Shape) -> Expr:
    """`node` repeated to `shape`; the only way operands come to equal shapes."""
    if node.shape == shape:
        return node
    return make(REGISTRY["broadcast_to"], (node,), (shape,))


def full_like(node: Expr, value: float, dtype: np.dtype | None = None) -> Expr:
    """A constant of the shape (and dtype) of `node`."""
    return broadcast_to(constant(value, dtype or node.dtype), node.shape)


def batch_broadcast(arg: Expr, size: int) -> Expr:
    """An operand without batch axis, repeated along a new axis 0."""
    return broadcast_to(arg, (size, *arg.shape))


def batch_size(args: Sequence[Expr], batched: Sequence[bool]) -> int:
    """The extent of the batch axis."""
    return next(a.shape[0] for a, is_batched in zip(args, batched, strict=True) if is_batched)


def is_differentiable(node: Expr) -> bool:
    """Whether a node can carry a tangent or cotangent."""
    return node.dtype.kind == "f"


# --- Elementwise ----------------------------------------------------------------

Partial = Any  # None (zero), a Python number, or an Expr


def scale(factor: Expr, partial: Partial, mask: Expr | None = None) -> Expr | None:
    """`factor * partial`, where the factor is an absorbing zero outside the mask."""
    if partial is None:
        return None
    if isinstance(partial, (int, float)):
        if partial == 1:
            return factor
        return -factor if partial == -1 else factor * partial
    product = factor * partial
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


KIND_NAMES = {"b": "booleans", "i": "integers", "f": "floating-point numbers"}


def add(x: Expr | None, y: Expr | None) -> Expr | None:
    """The sum, where None is zero."""
    if x is None or y is None:
        return x if y is None else y
    return x + y  # type: ignore[no-any-return]


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


# --- Linear families ----------------------------------------------------------


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
    shape, `index(out_index, in_shape, out_shape, *params)` gives the operand's index
    for an index of the result (None where that is not affine; only an operation that
    keeps the row-major order, `keeps_order`, may say so), `transpose(ct, x, *params)` the transpose, `batch(x, *params)` the parameters
    when both have a new axis 0.
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


# --- Reduction ------------------------------------------------------------------


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
