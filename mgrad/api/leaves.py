"""The leaves of arguments and results: what type each has, and how it is normalised."""

from __future__ import annotations

import dataclasses
import enum
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mgrad.errors import DTypeError, MgradError
from mgrad.expr import Expr, Shape, check_dtype, describe
from mgrad.primitive import as_expr, concrete_array, refused_array


@dataclass(frozen=True)
class ShapeDtype:
    """The type of an array without its elements, for `make_graph` and `eval_shape`.

    `shape` is an integer or a tuple of them, `dtype` anything that `np.dtype` takes.

    >>> ShapeDtype((2, 3), np.float64)
    float64[2,3]
    """

    shape: Shape
    dtype: np.dtype

    def __post_init__(self) -> None:
        given: Any = self.shape
        shape = given if isinstance(given, (tuple, list)) else (given,)
        object.__setattr__(self, "shape", tuple(map(operator.index, shape)))
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        return describe(self)


class Static:
    """A whole argument as one leaf that is part of the signature and never traced."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class LeafType(NamedTuple):
    """What a signature keeps of a leaf; a static leaf has no dtype but a value."""

    dtype: np.dtype | None
    shape: Shape = ()
    weak: bool = False
    static: Any = None

    def __str__(self) -> str:
        if self.dtype is None:
            return f"static {self.static.value!r}"
        if self.weak:
            kinds = {"b": "bool", "i": "int", "f": "float"}
            return f"Python {kinds[self.dtype.kind]}"
        return describe(self)


_PYTHON = {
    float: LeafType(np.dtype("float64"), (), True),
    int: LeafType(np.dtype("int64"), (), True),
    bool: LeafType(np.dtype("bool"), (), True),
}
_STATIC_TYPES = (str, bytes, type, np.dtype, enum.Enum)


def leaf_type(leaf: Any, path: Callable[[], str]) -> LeafType:
    """The type of one leaf; `path` names it in errors."""
    known = _PYTHON.get(type(leaf))
    if known is not None:
        if type(leaf) is int and not -(2**63) <= leaf < 2**63:
            raise DTypeError(
                f"{path()} is the integer {leaf!r:.40}, which is out of bounds for "
                "int64. Pass it as a float, or as a static argument to mg.jit."
            )
        return known
    if isinstance(leaf, (np.ma.MaskedArray, np.matrix)):
        raise DTypeError(f"{path()} is {refused_array(leaf)}")
    if type(leaf) is np.ndarray or isinstance(leaf, np.generic):
        return LeafType(_supported(leaf.dtype, path), leaf.shape)
    if isinstance(leaf, Expr):
        return LeafType(leaf.dtype, leaf.shape, leaf.weak)
    if isinstance(leaf, Static):
        return _static_type(leaf.value, path)
    if isinstance(leaf, ShapeDtype):
        return LeafType(_supported(leaf.dtype, path), leaf.shape)
    if isinstance(leaf, _STATIC_TYPES) or callable(leaf):
        return _static_type(leaf, path)
    if hasattr(leaf, "__array__"):
        array = np.asarray(leaf)
        return LeafType(_supported(array.dtype, path), array.shape)
    for python, known in _PYTHON.items():
        if isinstance(leaf, python):
            return known
    if isinstance(leaf, complex):
        raise DTypeError(
            f"{path()} is the complex number {leaf!r}, and mgrad computes with real "
            "ones. Pass its real and imaginary part as two arguments."
        )
    name = type(leaf).__name__
    register = "register"
    if dataclasses.is_dataclass(leaf):
        register = f"register_dataclass({name})"
    raise DTypeError(
        f"{path()} is {_article(name)}, which is neither an array, a number nor a "
        "container of them. Convert it with np.asarray(x, dtype=...), register its "
        f"class with mg.tree.{register}, or pass it to mg.jit as a static argument."
    )


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _supported(dtype: np.dtype, path: Callable[[], str]) -> np.dtype:
    try:
        return check_dtype(dtype)
    except DTypeError:
        return check_dtype(dtype, f"{path()}: mgrad computes with")


def _static_type(value: Any, path: Callable[[], str]) -> LeafType:
    try:
        hash(value)
    except TypeError:
        raise DTypeError(
            f"{path()} is static and must be hashable, but a {type(value).__name__} is "
            "not. Pass a tuple instead of a list, or a frozen dataclass instead of a "
            "dictionary; arrays cannot be static."
        ) from None
    return LeafType(None, (), False, StaticValue(value))


class StaticValue:
    """A hashable value that is equal only to one of the same type, all the way down."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = exact_key(value)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StaticValue) and self._key == other._key


def exact_key(value: Any) -> Any:
    """A key that tells 1, 1.0 and True apart, and 0.0 from -0.0."""
    if type(value) is tuple:
        return tuple([exact_key(part) for part in value])
    if isinstance(value, float):
        return type(value), value.hex()
    return type(value), value


def normalise(leaf: Any) -> Any:
    """The leaf as a plain contiguous array in native byte order, or a Python number."""
    if type(leaf) in _PYTHON:
        return leaf
    for python in (bool, int, float):
        if isinstance(leaf, python) and not isinstance(leaf, np.generic):
            return python(leaf)
    array = np.asarray(leaf)
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return array if array.flags.aligned else array.copy()


def output_node(leaf: Any, path: Callable[[], str]) -> Expr:
    """A result of the traced function as a node."""
    if isinstance(leaf, Expr):
        return leaf
    try:
        if isinstance(leaf, (bool, int, float, np.generic, np.ndarray)):
            return as_expr(leaf)
        if hasattr(leaf, "__array__"):
            return as_expr(concrete_array(leaf))
    except MgradError as error:
        raise DTypeError(f"{path()}: {error}") from None
    raise DTypeError(
        f"{path()} is {_article(type(leaf).__name__)} ({leaf!r:.40}), which is not an "
        "array. A traced function returns arrays, numbers, or containers of them; "
        "compute anything else outside."
    )


def leaf_types(
    leaves: Sequence[Any], paths: Callable[[], Sequence[str]]
) -> tuple[LeafType, ...]:
    """The type of each leaf; `paths` is asked only for a message."""

    def path(index: int) -> Callable[[], str]:
        return lambda: f"argument {paths()[index]}"

    return tuple(leaf_type(leaf, path(i)) for i, leaf in enumerate(leaves))
