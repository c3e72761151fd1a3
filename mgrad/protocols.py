"""What makes an `Expr` behave as an array: operators, methods, NumPy's protocols.

The implementations are looked up by name in `NAMESPACE` and by NumPy function in
`FUNCTIONS` (SciPy's ufuncs by name, so that SciPy need not be imported); the layers
that declare primitives fill both tables with `implements`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mgrad.errors import (
    ConcreteValueError,
    ItemAssignmentError,
    MissingAttributeError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from mgrad.expr import Expr

NAMESPACE: dict[str, Callable[..., Any]] = {}
FUNCTIONS: dict[Any, Callable[..., Any]] = {}


def implements(*numpy_functions: Any, name: str | None = None) -> Callable[..., Any]:
    """Register an implementation under its NumPy functions and its own name."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        NAMESPACE[name or function.__name__] = function
        for numpy_function in numpy_functions:
            FUNCTIONS[numpy_function] = function
        return function

    return register


def _binary(
    name: str,
) -> tuple[Callable[[Any, Any], Expr], Callable[[Any, Any], Expr]]:
    def operator(self: Any, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return _operate(name, self, other)

    def reflected(self: Any, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return _operate(name, other, self)

    return operator, reflected


def _foreign(other: Any) -> bool:
    """A type that is neither a number nor an array and has operators of its own."""
    return isinstance(other, (str, bytes, dict, set)) or other is None


def _unary(name: str) -> Callable[[Any], Expr]:
    return lambda self: _operate(name, self)


def _operate(name: str, *operands: Any) -> Expr:
    result: Expr = NAMESPACE["operator"](name, *operands)
    return result


def _method(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        function = NAMESPACE.get(name)
        if function is None:
            raise unsupported(name)
        return function(self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`."
    return method


def _concrete(python: str, advice: str) -> Callable[..., Any]:
    def refuse(self: Any, *_: Any, **__: Any) -> Any:
        raise concrete_value_error(python, self, advice)

    return refuse


def concrete_value_error(python: str, node: Any, advice: str) -> ConcreteValueError:
    """The error for Python code that needs the number behind a traced value."""
    from mgrad.expr import describe, format_source, user_line

    return ConcreteValueError(
        f"{python} at {format_source(user_line())} needs a concrete number, but got a "
        f"traced value: {describe(node)} from {format_source(node.where)}. {advice}"
    )


class IndexUpdate:
    """`x.at[index]`: functional updates, `x.at[i].set(v)` and its like."""

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any) -> None:
        self.array, self.index = array, index

    def _update(self, how: str, values: Any) -> Any:
        return NAMESPACE["index_update"](self.array, self.index, values, how)

    def get(self) -> Any:
        """`x[index]`."""
        return self.array[self.index]

    def set(self, values: Any) -> Any:
        """`x` with `x[index] = values`; of duplicate indices the last one wins."""
        return self._update("set", values)

    def add(self, values: Any) -> Any:
        """`x` with `values` added at `index`, once for each duplicate index."""
        return self._update("add", values)

    def multiply(self, values: Any) -> Any:
        """`x` with the elements at `index` multiplied by `values`."""
        return self._update("multiply", values)

    def min(self, values: Any) -> Any:
        """`x` with the elements at `index` lowered to `values`."""
        return self._update("min", values)

    def max(self, values: Any) -> Any:
        """`x` with the elements at `index` raised to `values`."""
        return self._update("max", values)


class _At:
    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> IndexUpdate:
        return IndexUpdate(self.array, index)


def _refuse_out(kwargs: dict[str, Any], name: str) -> None:
    from mgrad.expr import format_source, user_line

    out = kwargs.get("out")
    if any(o is not None for o in (out if isinstance(out, tuple) else (out,))):
        raise ItemAssignmentError(
            f"{name}(..., out=...) at {format_source(user_line())} writes into an "
            "array, and traced values are immutable. Use the returned value instead."
        )
    kwargs.pop("out", None)


def unsupported(name: str) -> UnsupportedError:
    """The error for a NumPy function without an implementation."""
    from mgrad.expr import format_source, user_line

    in_numpy = hasattr(np, name.partition(".")[0])
    shown = f"numpy.{name}" if in_numpy else f"scipy.special.{name}"
    return UnsupportedError(
        f"{shown} at {format_source(user_line())} is not supported on traced values."
        f"{nearest(name, NAMESPACE)} See mgrad.numpy for the whole list; what does not "
        "depend on the arguments can be computed outside the function."
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """The names that are like this one, in the same submodule if they have one."""
    prefix, _, own = name.rpartition(".")
    split = (n.rpartition(".") for n in names)
    candidates = [last for first, _, last in split if first == prefix]
    near = difflib.get_close_matches(own, candidates, n=3, cutoff=0.7)
    shown = ", ".join(f"{prefix}.{n}" if prefix else n for n in near)
    return f" The nearest supported: {shown}." if near else ""


_INDEX_ADVICE = (
    "For array[x] write mgrad.numpy.take(array, x, axis=0); a size must be a Python "
    "number: use x.shape, or pass it as a static argument to mg.jit (static_argnums)."
)
_ARRAY_ADVICE = (
    "A traced value is an array already: leave np.array(x), np.asarray(x) and "
    "np.float64(x) out, and use x.astype(dtype) for another dtype. Of several values "
    "(also of a list argument, whose items are traced one by one) make an array with "
    "np.stack([...]) or np.concatenate. Instead of writing into a buffer use "
    "arithmetic or x.at[i].set(v)."
)


def library_function() -> str | None:
    """The Python function of NumPy or SciPy that the user's code has called, if any."""
    from mgrad.expr import LIBRARIES, PACKAGE

    frame: Any = sys._getframe(2)
    names: list[str] = []
    while frame is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            name = frame.f_code.co_name
            owner = frame.f_locals.get("self") if name.startswith("__") else None
            names.append(name if owner is None else type(owner).__name__)
        frame = frame.f_back
    known = (name for name in reversed(names) if name in NAMESPACE)
    return next(known, names[-1] if names else None)


class ArrayProtocols:
    """Operators, methods and NumPy protocols of a traced array."""

    __slots__ = ()

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        """NumPy and SciPy ufuncs arrive here, with `reduce` as the reduction."""
        name = ufunc.__name__
        if method == "__call__":
            _refuse_out(kwargs, name)
            function = FUNCTIONS.get(ufunc) or FUNCTIONS.get(name)
        else:
            function = FUNCTIONS.get((ufunc, method))
            name = f"{name}.{method}"
            _refuse_out(kwargs, name)
        if function is None:
            raise unsupported(name)
        return function(*inputs, **kwargs)

    def __array_function__(
        self, function: Any, types: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """NumPy functions that are not ufuncs arrive here."""
        implementation = FUNCTIONS.get(function)
        if implementation is None:
            module = getattr(function, "__module__", "numpy") or "numpy"
            prefix = module.removeprefix("numpy").lstrip(".")
            name = f"{prefix}.{function.__name__}" if prefix else function.__name__
            raise unsupported(name)
        _refuse_out(kwargs, function.__name__)
        return implementation(*args, **kwargs)

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refused: a traced value has no elements yet."""
        called = library_function()
        if called in NAMESPACE:
            advice = f"Use mgrad.numpy.{called}, which traces."
        elif called:
            advice = (
                f"{called} cannot be traced: it is no function of NumPy's protocols. "
                "Write it with np. functions, or call it outside on concrete arrays."
            )
        elif self.dtype.kind in "ib":  # type: ignore[attr-defined]
            advice = f"{_INDEX_ADVICE} {_ARRAY_ADVICE}"
        else:
            advice = _ARRAY_ADVICE
        raise concrete_value_error(f"{called or 'np.array'}(...)", self, advice)

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide")
    __mod__, __rmod__ = _binary("remainder")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __and__, __rand__ = _binary("bitwise_and")
    __or__, __ror__ = _binary("bitwise_or")
    __xor__, __rxor__ = _binary("bitwise_xor")
    __lt__, _ = _binary("less")
    __le__, _ = _binary("less_equal")
    __gt__, _ = _binary("greater")
    __ge__, _ = _binary("greater_equal")
    __eq__, _ = _binary("equal")  # type: ignore[assignment]
    __ne__, _ = _binary("not_equal")  # type: ignore[assignment]
    del _
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("absolute")
    __invert__ = _unary("invert")

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __round__(self, digits: int = 0) -> Any:
        return NAMESPACE["round"](self, digits)

    __float__ = _concrete(
        "float()", "Keep it as an array: arithmetic works on it as it is."
    )
    __int__ = _concrete(
        "int()", "Keep it as an array, or pass this argument as a static one to mg.jit."
    )
    __index__ = _concrete("use as an index or a size", _INDEX_ADVICE)
    __complex__ = _concrete("complex()", "Keep it as an array.")
    __bool__ = _concrete(
        "a truth test (if, while, and, or, not)",
        "Use np.where(condition, x, y) to choose between values, and np.maximum or "
        "np.max for max().",
    )
    item = _concrete(".item()", "Return the value and convert it outside the trace.")
    tolist = _concrete(
        ".tolist()", "Return the value and convert it outside the trace."
    )

    def __format__(self, spec: str) -> str:
        if spec:
            raise concrete_value_error(
                f"the format {spec!r}",
                self,
                "Return the value (with has_aux=True beside the loss) and print it "
                "outside.",
            )
        return str(self)

    def __reduce__(self) -> Any:
        raise concrete_value_error(
            "pickling", self, "Return the value and save it outside."
        )

    if not TYPE_CHECKING:  # else every name would be known

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no {name!r}")
            from mgrad.expr import describe, format_source, user_line

            advice = _ATTRIBUTE_ADVICE.get(name)
            if advice is None:
                advice = nearest(name, (n for n in dir(type(self)) if n[0] != "_"))
            raise MissingAttributeError(
                f"x.{name} at {format_source(user_line())}: a traced value "
                f"({describe(self)} from {format_source(self.where)}) has no attribute "
                f"{name!r}. {advice.strip() or 'Compute it outside the function.'}"
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        from mgrad.expr import describe, format_source, user_line

        raise ItemAssignmentError(
            f"x[...] = v at {format_source(user_line())} writes into a traced value "
            f"({describe(self)} from {format_source(self.where)}), which is immutable. "  # type: ignore[attr-defined]
            "Write x = x.at[...].set(v), or .add(v) for x[...] += v."
        )

    def __getitem__(self, index: Any) -> Any:
        return NAMESPACE["getitem"](self, index)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))  # type: ignore[arg-type]

    @property
    def at(self) -> _At:
        """`x.at[index].set(values)`: a copy of `x` with elements replaced."""
        return _At(self)

    @property
    def T(self) -> Any:
        """The transpose."""
        return NAMESPACE["transpose"](self)

    @property
    def mT(self) -> Any:
        """The matrix transpose: the last two axes swapped."""
        return NAMESPACE["swapaxes"](self, -1, -2)

    @property
    def real(self) -> Any:
        """The real part: the value itself."""
        return self

    @property
    def imag(self) -> Any:
        """The imaginary part: zeros."""
        return NAMESPACE["zeros_like"](self)

    @property
    def flat(self) -> Any:
        """The elements in row-major order, as a one-dimensional value."""
        return NAMESPACE["ravel"](self)

    def astype(self, dtype: Any, **options: Any) -> Expr:
        """As `numpy.ndarray.astype`."""
        result: Expr = NAMESPACE["astype"](self, dtype, **options)
        return result

    def copy(self, order: str = "C") -> Any:
        """The value itself: traced values are immutable."""
        return self

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """As `numpy.ndarray.reshape`."""
        target = shape[0] if len(shape) == 1 else shape
        return NAMESPACE["reshape"](self, target, order=order)

    def transpose(self, *axes: Any) -> Any:
        """As `numpy.ndarray.transpose`."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return NAMESPACE["transpose"](self, order or None)

    def flatten(self, order: str = "C") -> Any:
        """The elements in one dimension."""
        return NAMESPACE["ravel"](self, order=order)


_OUTSIDE = "Return the value and do this outside: a traced value has no elements yet."
_ATTRIBUTE_ADVICE = {
    **dict.fromkeys("tobytes tofile dump dumps data ctypes base".split(), _OUTSIDE),
    **dict.fromkeys("flags strides itemset".split(), _OUTSIDE),
    "fill": "Use np.full_like(x, value).",
    "resize": "Use np.resize(x, shape), which returns a new array.",
    "put": "Use x.at[index].set(values).",
    "view": "Use x.astype(dtype), which converts the values.",
    "detach": "Use mg.stop_gradient(x).",
    "numpy": "Leave it out: NumPy functions take traced values.",
    "cpu": "Leave it out: values are in memory.",
    "grad": "Gradients are returned: mg.grad(f)(x).",
    "backward": "Gradients are returned: mg.grad(f)(x).",
}

METHODS = (
    "all any argmax argmin argsort clip conj conjugate cumprod cumsum diagonal dot max "
    "mean min nonzero prod ptp ravel repeat round sort squeeze std sum swapaxes take "
    "trace var"
).split()
for _name in METHODS:
    setattr(ArrayProtocols, _name, _method(_name))
