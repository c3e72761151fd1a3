"""Trace a function by hand, run its graph in the interpreter, compare with NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import mgrad.numpy  # noqa: F401  (fills the tables behind operators and NumPy names)
from mgrad.expr import new_input, trace
from mgrad.graph import Graph
from mgrad.primitive import as_expr
from mgrad.transforms.evaluate import evaluate

TOLERANCE = {"float32": 3e-6, "float64": 1e-13}


def run(function: Callable[..., Any], arrays: Sequence[Any]) -> list[Any]:
    """The outputs of the traced function, computed by the interpreter."""
    arrays = [np.asarray(a) for a in arrays]
    with trace("test") as t:
        inputs = tuple(new_input(a.dtype, a.shape, t) for a in arrays)
        outputs = flat(function(*inputs))
        graph = Graph(inputs, tuple(as_expr(out) for out in outputs))
    graph.check()
    return list(evaluate(graph, arrays))


def flat(value: Any) -> list[Any]:
    """The arrays of a (nested) tuple or list."""
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in flat(part)]
    return [value]


def check(function: Callable[..., Any], *arrays: Any, ulps: float = 1.0) -> None:
    """Values, dtypes and shapes agree with NumPy's."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = flat(function(*arrays))
    found = run(function, arrays)
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        same(got, want, ulps)


def same(got: Any, want: Any, ulps: float = 1.0) -> None:
    """Equal dtype and shape, values equal up to rounding."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (got.shape, want.shape)
    assert got.dtype == want.dtype, (got.dtype, want.dtype)
    if want.dtype.kind == "f":
        rtol = TOLERANCE[want.dtype.name] * ulps
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(got, want)


def traced(function: Callable[..., Any], *arrays: Any) -> Any:
    """What the function gives for traced arguments, with the trace still open."""
    with trace("test") as t:
        inputs = [new_input(np.asarray(a).dtype, np.shape(a), t) for a in arrays]
        return function(*inputs)
