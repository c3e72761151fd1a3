"""Random NumPy programs: drawn operation by operation, run on arrays and on traces.

A program is straight-line code. While it is drawn every operation runs on example
arrays, so shapes fit by construction and what NumPy refuses or what grows without
bound is left out. Only values that rounding cannot change (*exact* ones) are compared,
ordered or rounded, so that every way of running the program takes the same branches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

EXTENTS = (0, 1, 2, 3, 5, 16, 17, 33, 130)
FREQUENT = (1, 2, 2, 3, 3, 5, 5, 16, 17, 33)
LARGEST = 1e3


@dataclass(frozen=True)
class Operation:
    """`function` of earlier values, by their numbers."""

    name: str
    function: Callable[..., Any]
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A function of arrays or traced values, with arrays to call it with."""

    arrays: tuple[np.ndarray, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[int, ...]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        values = list(inputs)
        for operation in self.operations:
            operands = [values[i] for i in operation.operands]
            values.append(quietly(operation.function, *operands))
        return tuple(values[i] for i in self.outputs)

    def __str__(self) -> str:
        rows = [f"v{i}: {a.dtype}{list(a.shape)}" for i, a in enumerate(self.arrays)]
        for i, o in enumerate(self.operations, start=len(rows)):
            rows.append(f"v{i} = {o.name} {' '.join(f'v{k}' for k in o.operands)}")
        return "\n".join([*rows, f"return {', '.join(f'v{k}' for k in self.outputs)}"])


def quietly(function: Callable[..., Any], *operands: Any) -> Any:
    """A call without NumPy's warnings: empty means and divisions by zero are meant."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*operands)


class Rejected(Exception):
    """The operation does not fit the values at hand."""


def sample(random: Random, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array with ties, zeros and negative numbers among its elements."""
    generator = np.random.default_rng(random.getrandbits(32))
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype == "int64":
        return generator.integers(-6, 7, shape)
    if random.random() < 0.4:
        return (generator.integers(-8, 9, shape) / 4).astype(dtype)
    return generator.uniform(-2, 2, shape).astype(dtype)


def changed(random: Random, array: np.ndarray) -> np.ndarray:
    """Another sample of the same type."""
    return sample(random, array.dtype.name, array.shape)


class Writer:
    """A program in the making."""

    def __init__(self, random: Random, limit: int, smooth: bool) -> None:
        self.random = random
        self.limit = limit
        self.smooth = smooth
        self.inputs = 0
        self.values: list[np.ndarray] = []
        self.exact: list[bool] = []
        self.operations: list[Operation] = []

    # drawing

    def shape(self) -> tuple[int, ...]:
        """Ranks 0 to 4; small extents more often."""
        while True:
            rank = self.random.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))
            extents = EXTENTS if self.random.random() < 0.3 else FREQUENT
            shape = tuple(self.random.choice(extents) for _ in range(rank))
            if np.prod(shape) <= self.limit:
                return shape

    def input(self, dtype: str, shape: tuple[int, ...]) -> None:
        """One more argument of the program."""
        self.values.append(sample(self.random, dtype, shape))
        self.exact.append(True)
        self.inputs += 1

    def pick(self, accepts: Callable[[int], bool] = lambda i: True) -> int:
        """A value that fits, a recent one more often."""
        fitting = [i for i in range(len(self.values)) if accepts(i)]
        if not fitting:
            raise Rejected
        if self.random.random() < 0.6:
            fitting = fitting[-4:]
        return self.random.choice(fitting)

    def kind(self, i: int) -> str:
        return self.values[i].dtype.kind

    def number(self) -> int:
        """A value that is not boolean."""
        return self.pick(lambda i: self.kind(i) != "b")

    def floating(self) -> int:
        return self.pick(lambda i: self.kind(i) == "f")

    def ordered(self, kinds: str = "if") -> int:
        """A value that may be compared: integers only in a smooth program."""
        allowed = kinds.replace("f", "") if self.smooth else kinds
        return self.pick(lambda i: self.exact[i] and self.kind(i) in allowed)

    def partner(self, i: int, accepts: Callable[[int], bool] = lambda i: True) -> int:
        """A value that broadcasts with another one."""

        def fits(j: int) -> bool:
            try:
                shape = np.broadcast_shapes(self.values[i].shape, self.values[j].shape)
            except ValueError:
                return False
            return int(np.prod(shape)) <= self.limit and accepts(j)

        return self.pick(fits)

    def axis(self, i: int) -> int:
        """One axis, counted from either end."""
        rank = self.values[i].ndim
        if not rank:
            raise Rejected
        return self.random.randrange(-rank, rank)

    def axes(self, i: int) -> Any:
        """Axes of a reduction: None, one, or several."""
        rank = self.values[i].ndim
        if not rank or self.random.random() < 0.15:
            return None
        if self.random.random() < 0.5:
            return self.axis(i)
        count = self.random.randrange(0, rank + 1)
        return tuple(self.random.sample(range(rank), count))

    def slices(self, i: int) -> tuple[Any, ...]:
        """A slice for some leading axes, perhaps with new axes and integers."""
        key: list[Any] = []
        for n in self.values[i].shape:
            kind = self.random.random()
            if kind < 0.25:
                key.append(slice(None))
            elif kind < 0.35 and n:
                key.append(self.random.randrange(-n, n))
            elif kind < 0.45:
                key += [None, slice(None)]
            else:
                ends = [None, *range(-n - 1, n + 2)]
                step = self.random.choice((None, 1, 1, 2, 3, -1, -2))
                key.append(
                    slice(self.random.choice(ends), self.random.choice(ends), step)
                )
        return tuple(key[: self.random.randrange(len(key) + 1)]) or (...,)

    # adding

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        *operands: int,
        exact: bool = False,
    ) -> None:
        """Run an operation on the examples and keep it if its result is tame."""
        try:
            result = np.asarray(quietly(function, *(self.values[i] for i in operands)))
        except (ValueError, TypeError, IndexError, ZeroDivisionError):
            raise Rejected from None
        if result.size > self.limit or result.dtype.name == "object" or result.ndim > 6:
            raise Rejected
        if result.dtype.name in ("uint64", "int8", "float16"):
            raise Rejected
        if result.size and not np.all(np.abs(result.astype(float)) <= LARGEST):
            raise Rejected
        known = exact and all(self.exact[i] for i in operands)
        self.values.append(result)
        self.exact.append(known or result.dtype.kind != "f")
        self.operations.append(Operation(name, function, operands))

    def step(self) -> None:
        """One more operation, whichever fits."""
        while True:
            try:
                self.random.choice(MAKERS)(self)
            except Rejected:
                continue
            return


# --- operations -------------------------------------------------------------------

MAKERS: list[Callable[[Writer], None]] = []


def maker(weight: int = 1) -> Callable[[Callable[[Writer], None]], None]:
    """Enter a way of adding an operation."""

    def enter(function: Callable[[Writer], None]) -> None:
        MAKERS.extend([function] * weight)

    return enter


SMOOTH = {
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "arctan": np.arctan,
    "bell": lambda x: np.exp(-x * x),
    "ratio": lambda x: x * x / (1 + x * x),
    "half": lambda x: 0.5 * x,
    "negative": lambda x: -x,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "root": lambda x: np.sqrt(1 + x * x),
    "log": lambda x: np.log(2 + x * x),
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "shift": lambda x: x - 1.25,
    "arcsinh": np.arcsinh,
    "softplus": lambda x: np.logaddexp(x, 0),
}
STEPPED = {
    "abs": np.abs,
    "negate": lambda x: -x,
    "sign": np.sign,
    "relu": lambda x: np.maximum(x, 0),
    "clip": lambda x: np.clip(x, -1, 1),
    "floor": np.floor,
    "rint": np.rint,
    "positive": lambda x: x > 0,
    "at most": lambda x: x <= 1,
    "to int": lambda x: x.astype(np.int64),
    "to bool": lambda x: x.astype(bool),
    "nonzero": lambda x: x != 0,
}
BINARY = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "quotient": lambda x, y: x / (1 + y * y),
    "angle": lambda x, y: np.arctan2(x, 2 + y * y),
    "hypotenuse": lambda x, y: np.hypot(x, 1 + y * y),
    "power": lambda x, y: (1 + x * x) ** np.sin(0.5 * y),
    "logaddexp": np.logaddexp,
}
ORDERED = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
}
INTEGER = {
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "bit_and": lambda x, y: x & y,
    "bit_xor": lambda x, y: x ^ y,
}
LOGICAL = {
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "logical_or": np.logical_or,
    "equal": lambda x, y: x == y,
}


def choose(writer: Writer, table: dict[str, Any]) -> tuple[str, Any]:
    return writer.random.choice(sorted(table.items(), key=lambda item: item[0]))


@maker(6)
def unary(w: Writer) -> None:
    w.add(*choose(w, SMOOTH), w.number())


@maker(2)
def stepped(w: Writer) -> None:
    w.add(*choose(w, STEPPED), w.ordered(), exact=True)


@maker(8)
def binary(w: Writer) -> None:
    i = w.number()
    w.add(*choose(w, BINARY), i, w.partner(i))


@maker(3)
def ordered(w: Writer) -> None:
    i = w.ordered()
    j = w.partner(i, lambda j: w.exact[j] and w.kind(j) in ("i" if w.smooth else "if"))
    w.add(*choose(w, ORDERED), i, j, exact=True)


@maker(2)
def integers(w: Writer) -> None:
    i = w.pick(lambda i: w.kind(i) == "i")
    w.add(*choose(w, INTEGER), i, w.partner(i, lambda j: w.kind(j) == "i"), exact=True)


@maker(1)
def logical(w: Writer) -> None:
    i = w.pick(lambda i: w.kind(i) == "b")
    w.add(*choose(w, LOGICAL), i, w.partner(i, lambda j: w.kind(j) == "b"), exact=True)


@maker(3)
def where(w: Writer) -> None:
    condition = w.pick(lambda i: w.kind(i) == "b")
    x = w.partner(condition)
    y = w.partner(x, lambda j: w.kind(j) == w.kind(x))
    w.add("where", np.where, condition, x, y, exact=True)


@maker(1)
def convert(w: Writer) -> None:
    dtype = w.random.choice(("float64", "float32", "float64"))
    i = w.number()
    exact = w.kind(i) == "i" or dtype == "float64"
    w.add(f"astype {dtype}", lambda x: x.astype(dtype), i, exact=exact)


@maker(3)
def transpose(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 1)
    order = list(range(w.values[i].ndim))
    w.random.shuffle(order)
    w.add(f"transpose {order}", lambda x: np.transpose(x, order), i, exact=True)


def factorised(random: Random, size: int) -> tuple[int, ...]:
    """A random shape of a size."""
    shape = []
    rest = size
    for factor in (2, 3, 5, 11, 13, 17):
        while rest and rest % factor == 0:
            shape.append(factor)
            rest //= factor
    if rest != 1:
        shape.append(rest)
    random.shuffle(shape)
    while len(shape) > 1 and (len(shape) > 4 or random.random() < 0.6):
        at = random.randrange(len(shape) - 1)
        shape[at : at + 2] = [shape[at] * shape[at + 1]]
    if random.random() < 0.3:
        shape.insert(random.randrange(len(shape) + 1), 1)
    return tuple(shape)


@maker(4)
def reshape(w: Writer) -> None:
    i = w.pick()
    shape = factorised(w.random, w.values[i].size)
    w.add(f"reshape {shape}", lambda x: np.reshape(x, shape), i, exact=True)


@maker(2)
def merge(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 1)
    shape = w.values[i].shape
    at = w.random.randrange(len(shape) - 1)
    new = (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
    w.add(f"reshape {new}", lambda x: x.reshape(new), i, exact=True)


@maker(4)
def index(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    key = w.slices(i)
    w.add(f"[{key}]", lambda x: x[key], i, exact=True)


@maker(1)
def flip(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    axis = w.axis(i)
    w.add(f"flip {axis}", lambda x: np.flip(x, axis), i, exact=True)


@maker(2)
def broadcast(w: Writer) -> None:
    i = w.pick()
    shape = [w.random.choice((2, 3, 17)) if n == 1 else n for n in w.values[i].shape]
    if w.random.random() < 0.5:
        shape = [w.random.choice((1, 2, 5)), *shape]
    w.add(f"broadcast_to {shape}", lambda x: np.broadcast_to(x, shape), i, exact=True)


@maker(1)
def expand(w: Writer) -> None:
    i = w.pick()
    axis = w.random.randrange(w.values[i].ndim + 1)
    w.add(f"expand_dims {axis}", lambda x: np.expand_dims(x, axis), i, exact=True)


@maker(1)
def squeeze(w: Writer) -> None:
    i = w.pick(lambda i: 1 in w.values[i].shape)
    w.add("squeeze", np.squeeze, i, exact=True)


@maker(1)
def roll(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    shift, axis = w.random.randrange(-3, 4), w.axis(i)
    w.add(f"roll {shift} {axis}", lambda x: np.roll(x, shift, axis), i, exact=True)


@maker(6)
def reduce(w: Writer) -> None:
    name = w.random.choice(("sum", "sum", "mean", "prod", "var", "std"))
    i = w.floating() if name in ("var", "std") else w.number()
    axes, keep = w.axes(i), w.random.random() < 0.5
    function = getattr(np, name)
    if name == "std":
        w.add(
            f"std {axes} {keep}",
            lambda x: np.sqrt(1 + np.var(x, axis=axes, keepdims=keep)),
            i,
        )
    else:
        w.add(
            f"{name} {axes} {keep}", lambda x: function(x, axis=axes, keepdims=keep), i
        )


@maker(3)
def extreme(w: Writer) -> None:
    name = w.random.choice(("max", "min"))
    i = w.ordered()
    axes, keep = w.axes(i), w.random.random() < 0.5
    function = getattr(np, name)
    w.add(
        f"{name} {axes} {keep}",
        lambda x: function(x, axis=axes, keepdims=keep),
        i,
        exact=True,
    )


@maker(1)
def quantify(w: Writer) -> None:
    name = w.random.choice(("any", "all", "sum", "count_nonzero"))
    i = w.pick(lambda i: w.kind(i) == "b")
    axes = w.axes(i)
    function = getattr(np, name)
    w.add(f"{name} {axes}", lambda x: function(x, axis=axes), i, exact=True)


@maker(1)
def arg_extreme(w: Writer) -> None:
    i = w.ordered()
    axis = w.axis(i) if w.random.random() < 0.7 else None
    name = w.random.choice(("argmax", "argmin"))
    function = getattr(np, name)
    w.add(f"{name} {axis}", lambda x: function(x, axis=axis), i, exact=True)


@maker(1)
def cumulate(w: Writer) -> None:
    i = w.number()
    axis = w.axis(i) if w.random.random() < 0.8 else None
    w.add(f"cumsum {axis}", lambda x: np.cumsum(x, axis=axis), i)


def softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def layer_norm(x: Any, axis: int) -> Any:
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=axis, keepdims=True) + 0.1)


def log_sum_exp(x: Any, axis: int) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(
        np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top, axis
    )


@maker(3)
def normalise(w: Writer) -> None:
    i = w.floating()
    function = w.random.choice((softmax, layer_norm, log_sum_exp))
    axis = w.axis(i)
    w.add(f"{function.__name__} {axis}", lambda x: function(x, axis), i)


@maker(4)
def matmul(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0 and w.kind(i) != "b")
    x = w.values[i]

    def fits(j: int) -> bool:
        y = w.values[j]
        return y.ndim > 0 and x.shape[-1] == y.shape[-2 if y.ndim > 1 else 0]

    w.add("matmul", lambda x, y: x @ y, i, w.pick(fits))


@maker(2)
def gram(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 1 and w.kind(i) == "f")
    if w.random.random() < 0.5:
        w.add("x @ x.mT", lambda x: 0.1 * (x @ np.swapaxes(x, -1, -2)), i)
    else:
        w.add("x.mT @ x", lambda x: 0.1 * (np.swapaxes(x, -1, -2) @ x), i)


def einsum_letters(random: Random, x: Any, y: Any) -> tuple[str, str, str]:
    """Random letters, equal ones only on axes of equal extent."""
    own = "abcdef"[: x.ndim]
    other = ""
    for n in y.shape:
        same = [
            c for c, m in zip(own, x.shape, strict=True) if m == n and c not in other
        ]
        new = "uvwxyz"[len(other)]
        other += random.choice(same) if same and random.random() < 0.8 else new
    letters = list(dict.fromkeys(own + other))
    random.shuffle(letters)
    shared = [c for c in letters if c in own and c in other]
    out = [c for c in letters if random.random() < (0.3 if c in shared else 0.9)]
    return own, other, "".join(out)


@maker(4)
def einsum(w: Writer) -> None:
    i = w.pick(lambda i: w.kind(i) != "b" and w.values[i].ndim < 5)
    x = w.values[i]
    j = w.pick(lambda j: w.kind(j) == w.kind(i) and w.values[j].ndim < 5)
    own, other, out = einsum_letters(w.random, x, w.values[j])
    extents = dict(zip(own + other, x.shape + w.values[j].shape, strict=True))
    if (
        np.prod([extents[c] for c in out]) > w.limit
        or np.prod(list(extents.values())) > 1e6
    ):
        raise Rejected
    letters = f"{own},{other}->{out}"
    scale = 1 if w.kind(i) == "i" else 0.2
    w.add(letters, lambda x, y: scale * np.einsum(letters, x, y), i, j)


@maker(1)
def outer(w: Writer) -> None:
    i, j = w.number(), w.number()
    if w.values[i].size * w.values[j].size > w.limit:
        raise Rejected
    w.add("outer", np.outer, i, j)


@maker(1)
def tensordot(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0 and w.kind(i) == "f")
    n = w.values[i].shape[-1]
    j = w.pick(lambda j: w.values[j].shape[:1] == (n,) and w.kind(j) == "f")
    w.add("tensordot", lambda x, y: np.tensordot(x, y, 1), i, j)


@maker(2)
def concatenate(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    axis = w.axis(i)

    def rest(k: int) -> tuple[int, ...]:
        shape = list(w.values[k].shape)
        del shape[axis]
        return tuple(shape)

    ndim = w.values[i].ndim
    parts = [i]
    for _ in range(w.random.randrange(1, 3)):
        parts.append(w.pick(lambda k: w.values[k].ndim == ndim and rest(k) == rest(i)))
    w.add(
        f"concatenate {axis}",
        lambda *parts: np.concatenate(parts, axis=axis),
        *parts,
        exact=True,
    )


@maker(2)
def stack(w: Writer) -> None:
    i = w.pick()
    shape = w.values[i].shape
    axis = w.random.randrange(len(shape) + 1)
    j = w.pick(lambda j: w.values[j].shape == shape)
    w.add(f"stack {axis}", lambda *parts: np.stack(parts, axis=axis), i, j, exact=True)


@maker(1)
def pad(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    widths = [(w.random.randrange(3), w.random.randrange(3)) for _ in w.values[i].shape]
    w.add(f"pad {widths}", lambda x: np.pad(x, widths), i, exact=True)


@maker(1)
def repeat(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    axis, count = w.axis(i), w.random.randrange(1, 4)
    w.add(f"repeat {count} {axis}", lambda x: np.repeat(x, count, axis), i, exact=True)


@maker(2)
def gather_constant(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    axis = w.random.randrange(w.values[i].ndim)
    n = w.values[i].shape[axis]
    if not n:
        raise Rejected
    shape = w.random.choice(((3,), (17,), (2, 3), (), (0,)))
    positions = np.random.default_rng(w.random.getrandbits(32)).integers(-n, n, shape)
    key = (*(slice(None),) * axis, positions)
    w.add(f"take {positions.tolist()} at {axis}", lambda x: x[key], i, exact=True)


@maker(3)
def gather_traced(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0)
    axis = w.random.randrange(w.values[i].ndim)
    n = w.values[i].shape[axis]
    j = w.pick(lambda j: w.kind(j) == "i" and w.values[j].ndim < 3)
    shift = w.random.choice((0, n))
    w.add(
        f"gather at {axis} mod {n} - {shift}",
        lambda x, p: x[(*(slice(None),) * axis, p % n - shift)],
        i,
        j,
        exact=True,
    )


@maker(1)
def gather_pairs(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 1)
    m, n = w.values[i].shape[:2]
    j = w.pick(lambda j: w.kind(j) == "i")
    k = w.partner(j, lambda k: w.kind(k) == "i")
    w.add(
        f"gather pairs mod {m} {n}",
        lambda x, p, q: x[p % m, q % n],
        i,
        j,
        k,
        exact=True,
    )


def update(x: Any, key: Any, part: Any, how: str) -> Any:
    """`x.at[key].set(part)` for arrays too."""
    if not isinstance(x, (np.ndarray, np.generic)):
        return getattr(x.at[key], how)(part)
    result = np.array(x)
    if how == "set":
        result[key] = part
    else:
        np.add.at(result, key, part)
    return result


@maker(2)
def update_slice(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0 and w.kind(i) == "f")
    key, how = w.slices(i), w.random.choice(("set", "add"))
    room = w.values[i][key].shape

    def fits(j: int) -> bool:
        if w.values[j].dtype != w.values[i].dtype:
            return False
        try:
            return np.broadcast_shapes(w.values[j].shape, room) == room
        except ValueError:
            return False

    j = w.pick(fits)
    w.add(
        f"at[{key}].{how}",
        lambda x, y: update(x, key, y, how),
        i,
        j,
        exact=how == "set",
    )


@maker(2)
def scatter(w: Writer) -> None:
    i = w.pick(lambda i: w.values[i].ndim > 0 and w.kind(i) == "f")
    n = w.values[i].shape[0]
    j = w.pick(lambda j: w.kind(j) == "i" and w.values[j].ndim < 3)
    how = w.random.choice(("set", "add"))
    room = (*w.values[j].shape, *w.values[i].shape[1:])
    if np.prod(room) > w.limit:
        raise Rejected

    def fits(k: int) -> bool:
        if w.values[k].dtype != w.values[i].dtype:
            return False
        try:
            return np.broadcast_shapes(w.values[k].shape, room) == room
        except ValueError:
            return False

    k = w.pick(fits)
    w.add(
        f"at[mod {n}].{how}",
        lambda x, p, y: update(x, p % n, y, how),
        i,
        j,
        k,
        exact=how == "set",
    )


# --- programs ---------------------------------------------------------------------


def draw_program(
    seed: int, length: int = 30, limit: int = 600, smooth: bool = False
) -> Program:
    """A program of `length` operations on arrays of at most `limit` elements.

    With a smaller length it is the beginning of the same program.
    """
    random = Random(seed)
    writer = Writer(random, limit, smooth)
    main = "float64" if smooth or random.random() < 0.7 else "float32"
    for _ in range(random.randrange(1, 4)):
        writer.input(main, writer.shape())
    if random.random() < 0.6:
        writer.input("int64", writer.shape())
    if random.random() < 0.3:
        writer.input("bool", writer.shape())
    if not smooth and random.random() < 0.15:
        writer.input("float32", writer.shape())
    for _ in range(length):
        writer.step()
    outputs = [len(writer.values) - 1]
    for _ in range(random.randrange(4)):
        outputs.append(random.randrange(len(writer.values)))
    arrays = tuple(writer.values[: writer.inputs])
    return Program(arrays, tuple(writer.operations), tuple(outputs))
