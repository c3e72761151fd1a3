"""Expressions: immutable, hash-consed nodes of the graph, and how they print.

Inside a trace every value is an `Expr`. Building one is the only thing that
happens when a traced function runs: operators, NumPy functions and methods all
end in `make(primitive, args, params)`, which returns the existing node if the
same one is alive. The functions behind operators and NumPy names are filled
into the tables of `mgrad.protocols` by the layers above.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol
from weakref import WeakValueDictionary

import numpy as np

from mgrad.errors import DTypeError, ItemAssignmentError, LeakError
from mgrad.protocols import ArrayProtocols

Shape = tuple[int, ...]
Params = tuple[Any, ...]

DTYPES = tuple(np.dtype(t) for t in ("bool", "int32", "int64", "float32", "float64"))


class PrimitiveLike(Protocol):
    """What a node needs of its primitive; the families are in `mgrad.primitive`."""

    name: str

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        """The dtype and shape of the result."""


class Trace:
    """One run of a user's function with symbolic arguments; active while it runs."""

    __slots__ = ("active", "depth", "name")

    def __init__(self, name: str, depth: int) -> None:
        self.name = name
        self.depth = depth
        self.active = True


class _State(threading.local):
    """Per thread: the open traces, and the source line that transforms inherit."""

    depth: int = 0
    transforming: int = 0
    origin: Source | None = None


_state = _State()


@contextmanager
def trace(name: str) -> Iterator[Trace]:
    """Open a trace; values made in it are errors to use after it is closed."""
    _state.depth += 1
    current = Trace(name, _state.depth)
    try:
        yield current
    finally:
        current.active = False
        _state.depth -= 1


@contextmanager
def transforming(origin: Source | None = None) -> Iterator[None]:
    """Run rules on a finished graph: its nodes may be used, lines are inherited."""
    previous = _state.origin
    _state.transforming += 1
    _state.origin = origin or previous
    try:
        yield
    finally:
        _state.transforming -= 1
        _state.origin = previous


def set_origin(origin: Source | None) -> None:
    """The source line that nodes made from here on inherit (inside `transforming`)."""
    _state.origin = origin


Source = tuple[str, int, str]
PACKAGE = str(Path(__file__).parent) + "/"
_SITE = Path(np.__file__).parent.parent
LIBRARIES = (PACKAGE, f"{_SITE / 'numpy'}/", f"{_SITE / 'scipy'}/")


def user_line() -> Source | None:
    """File, line and function of the innermost frame that is the user's."""
    if _state.origin is not None:
        return _state.origin
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(LIBRARIES):
            return name, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    return None


def format_source(source: Source | None) -> str:
    """`file.py:12 in loss`, as messages show it."""
    if source is None:
        return "an unknown line"
    path, line, function = source
    if not line:
        return f"argument {path} of {function}"
    return f"{Path(path).name}:{line} in {function}"


class Literal:
    """A scalar constant as a parameter: equal only to the same bits and dtype."""

    __slots__ = ("_key", "value")

    def __init__(self, value: np.generic) -> None:
        self.value = value
        self._key = (value.dtype.char, value.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._key == other._key

    def __repr__(self) -> str:
        return str(self.value)


class ArrayReference:
    """A captured array as a parameter: equal only to itself."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __hash__(self) -> int:
        return id(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrayReference) and self.array is other.array

    def __repr__(self) -> str:
        return f"array@{id(self.array):x}"


class _Unfinished(ArrayProtocols):
    """The slots of a node while it is being made."""

    __slots__ = (
        "__weakref__",
        "args",
        "dtype",
        "owner",
        "params",
        "primitive",
        "shape",
        "weak",
        "where",
    )


class Expr(_Unfinished):
    """A node of the expression graph: a value with dtype and shape, not yet computed.

    It behaves as the `numpy.ndarray` it stands for: operators, methods, NumPy
    functions and `x.at[i].set(v)` give new nodes. What needs the number itself
    (`float(x)`, `if x:`) raises an error that says what to write instead.
    """

    __slots__ = ()
    __array_priority__: ClassVar[float] = 1000.0

    primitive: Any
    args: tuple[Expr, ...]
    params: Params
    dtype: np.dtype
    shape: Shape
    owner: Trace | None
    weak: bool
    where: Source | None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    __hash__ = object.__hash__

    def __setattr__(self, name: str, value: Any) -> None:
        raise ItemAssignmentError(
            f"x.{name} = ... at {format_source(user_line())} changes a traced value "
            f"({describe(self)} from {format_source(self.where)}), which is immutable. "
            "Use the functional form: x.reshape(...), x.astype(...), x.at[i].set(v)."
        )

    def __copy__(self) -> Expr:
        return self

    def __deepcopy__(self, memo: Any) -> Expr:
        return self

    def __repr__(self) -> str:
        name = self.primitive.name
        return f"<Expr {describe(self)} = {name}, from {format_source(self.where)}>"


def describe(value: Any) -> str:
    """`float64[3,4]`, for nodes and arrays."""
    return f"{value.dtype}[{','.join(map(str, value.shape))}]"


_table: WeakValueDictionary[Any, Expr] = WeakValueDictionary()


def make(
    primitive: PrimitiveLike,
    args: tuple[Expr, ...] = (),
    params: Params = (),
    weak: bool = False,
) -> Expr:
    """The node of this primitive, these operands and parameters: found or made."""
    key = (primitive, args, params, weak)
    node = _table.get(key)
    if node is not None:
        return node
    owner = None
    for arg in args:
        if arg.owner is not None:
            if not arg.owner.active and not _state.transforming:
                raise leaked(arg)
            if owner is None or arg.owner.depth > owner.depth:
                owner = arg.owner
    dtype, shape = primitive.type(args, params)
    node = new_node(primitive, args, params, dtype, shape, weak, owner)
    return _table.setdefault(key, node)


def new_node(
    primitive: Any,
    args: tuple[Expr, ...],
    params: Params,
    dtype: np.dtype,
    shape: Shape,
    weak: bool,
    owner: Trace | None,
    where: Source | None = None,
) -> Expr:
    """A node outside the table; only inputs are made this way by others."""
    node: Any = object.__new__(_Unfinished)
    node.primitive = primitive
    node.args = args
    node.params = params
    node.dtype = dtype
    node.shape = shape
    node.weak = weak
    node.owner = owner
    node.where = where or user_line()
    node.__class__ = Expr  # immutable from here on
    return node  # type: ignore[no-any-return]


def leaked(node: Expr) -> LeakError:
    """The error for a node whose trace has ended."""
    name = node.owner.name if node.owner else "?"
    return LeakError(
        f"a traced value ({describe(node)}, made at {format_source(node.where)}) was "
        f"used at {format_source(user_line())} after the trace of {name} had ended. "
        "Return it from the traced function instead of storing it outside."
    )


class _Leaf:
    """Primitives without operands whose type stands in their parameters."""

    def __init__(self, name: str) -> None:
        self.name = name

    def type(self, args: tuple[Expr, ...], params: Params) -> tuple[np.dtype, Shape]:
        """Constants: scalar literals and captured arrays."""
        value = params[0]
        if isinstance(value, Literal):
            return value.value.dtype, ()
        return value.array.dtype, value.array.shape

    def __repr__(self) -> str:
        return self.name


INPUT = _Leaf("input")
CONSTANT = _Leaf("constant")
CAPTURED = _Leaf("captured")


def new_input(
    dtype: np.dtype,
    shape: Shape,
    owner: Trace | None = None,
    weak: bool = False,
    where: Source | None = None,
) -> Expr:
    """A fresh input node; never equal to another one."""
    found = check_dtype(dtype)
    return new_node(INPUT, (), (), found, tuple(shape), weak, owner, where)


def argument_source(path: str, function: str) -> Source:
    """The origin of an input, as messages name it."""
    return path, 0, function


def constant(value: Any, dtype: Any = None) -> Expr:
    """A scalar constant of the given dtype (by default its own)."""
    try:
        scalar: Any = np.asarray(value, dtype)[()]
    except OverflowError:
        raise DTypeError(
            f"{value} at {format_source(user_line())} is out of bounds for "
            f"{dtype or 'int64'}. Convert the array to a wider dtype first, with "
            "x.astype(...)."
        ) from None
    check_dtype(scalar.dtype)
    return make(CONSTANT, (), (Literal(scalar),))


def captured(array: np.ndarray) -> Expr:
    """An array that the traced function closed over: an argument of the program."""
    native = check_dtype(array.dtype)
    if array.dtype != native:
        array = array.astype(native)
    return make(CAPTURED, (), (ArrayReference(array),))


_DTYPE_ADVICE = {
    "f": "Convert it first, for example with x.astype(np.float32) or np.float64",
    "c": "Compute with x.real and x.imag as two arrays",
}
_DTYPE_ADVICE["i"] = _DTYPE_ADVICE["u"] = (
    "Convert it first: labels and indices with x.astype(np.int64), images and other "
    "measurements with x.astype(np.float64) or np.float32"
)
_NOT_NUMERIC = "Give a numeric array; object, string and time data have no derivative"


def check_dtype(dtype: Any, what: str = "mgrad computes with") -> np.dtype:
    """The dtype in native byte order if it is supported, otherwise an error."""
    found: np.dtype = np.dtype(dtype).newbyteorder("=")
    if found not in DTYPES:
        names = ", ".join(str(d) for d in DTYPES)
        advice = _DTYPE_ADVICE.get(found.kind, _NOT_NUMERIC)
        raise DTypeError(
            f"{what} {names}; got {found} at {format_source(user_line())}. {advice}."
        )
    return found


def literal(node: Expr) -> np.generic | None:
    """The number of a scalar constant node, else None."""
    return node.params[0].value if node.primitive is CONSTANT else None


def walk(outputs: tuple[Expr, ...], stop: frozenset[Expr] = frozenset()) -> list[Expr]:
    """All nodes that the outputs depend on, operands first; `stop` nodes are leaves."""
    order: list[Expr] = []
    done: set[Expr] = set()
    stack: list[tuple[Expr, bool]] = [(node, False) for node in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            if node not in stop:
                stack.extend((arg, False) for arg in reversed(node.args))
    return order
