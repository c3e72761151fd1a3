"""One graph run three ways: interpreter, machine code, printed Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mgrad.compiler import steps as native
from mgrad.compiler.build import build
from mgrad.compiler.plan import KernelStep, Plan, ProductStep, host, plan, product
from mgrad.compiler.prepare import prepare
from mgrad.compiler.python_printer import python_function
from mgrad.expr import new_input, trace
from mgrad.graph import Graph
from mgrad.transforms.evaluate import evaluate

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def graph_of(function: Callable[..., Any], *arrays: Any) -> Graph:
    """The graph of a function of arrays, without simplification."""
    with trace("test") as current:
        inputs = tuple(
            new_input(a.dtype, a.shape, current) for a in map(np.asarray, arrays)
        )
        result = function(*inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        return Graph(inputs, outputs)


def run_printed(result: Plan, arrays: Sequence[Any]) -> list[Any]:
    """The plan's steps with kernels run from their Python source."""
    memory = [memory_of(slot, arrays) for slot in result.slots]
    for step in result.steps:
        if isinstance(step, KernelStep):
            lowered = step.lowered
            buffers = [memory[result.slot(key)] for key in lowered.buffers]
            run = python_function(lowered.function)
            with np.errstate(all="ignore"):
                run(*buffers, *lowered.extents, 0, lowered.size)
        elif isinstance(step, ProductStep):
            run_product(product(step, result), memory)
        else:
            call = host(step, result)
            (out,) = call.outputs
            memory[out][:] = call.function(*(memory[i] for i in call.inputs))[0].ravel()
    outputs = [
        (slot.index, memory[i].reshape(slot.shape))
        for i, slot in enumerate(result.slots)
        if isinstance(slot, native.Output)
    ]
    return [array for _, array in sorted(outputs, key=lambda pair: pair[0])]


def memory_of(slot: native.Slot, arrays: Sequence[Any]) -> np.ndarray:
    """A flat array for a slot; garbage where nothing was written yet."""
    if isinstance(slot, native.Input):
        return np.array(arrays[slot.index], slot.dtype).ravel()
    if isinstance(slot, native.Constant):
        return np.array(slot.array).ravel()
    size = int(np.prod(slot.shape))
    garbage = np.nan if np.dtype(slot.dtype).kind == "f" else 1
    return np.full(size, garbage, slot.dtype)


def run_product(step: native.Gemm, memory: list[np.ndarray]) -> None:
    """A matrix product by strides."""
    x, y, out = memory[step.a], memory[step.b], memory[step.c]
    for i in range(step.batch):
        a = matrix(x, i * step.stride_a, step.m, step.k, step.lda, step.trans_a)
        b = matrix(y, i * step.stride_b, step.k, step.n, step.ldb, step.trans_b)
        c = matrix(out, i * step.stride_c, step.m, step.n, step.ldc, False)
        c[...] = a @ b + (c if step.beta else 0)


def matrix(
    flat: np.ndarray, offset: int, rows: int, columns: int, leading: int, swapped: bool
) -> np.ndarray:
    """A view of rows x columns."""
    size = flat.itemsize
    steps = (size, leading * size) if swapped else (leading * size, size)
    return np.lib.stride_tricks.as_strided(flat[offset:], (rows, columns), steps)


def agree(
    graph: Graph,
    arrays: Sequence[Any],
    scale: float = 1.0,
    printed: bool = True,
    tolerances: Mapping[str, float] = TOLERANCE,
) -> None:
    """Fail unless the ways give the same dtypes, shapes and (nearly) values."""
    want = evaluate(graph, arrays)
    program = build(graph)
    leaves = tuple(
        np.ascontiguousarray(np.asarray(a, n.dtype)).reshape(n.shape)
        for a, n in zip(arrays, graph.inputs, strict=True)
    )
    ways = [program(leaves)]
    assert ways[0] is not NotImplemented
    if printed:
        ways.append(run_printed(plan(prepare(graph)), arrays))
    for way in ways:
        for expected, got in zip(want, way, strict=True):
            assert np.shape(got) == np.shape(expected)
            assert np.asarray(got).dtype == np.asarray(expected).dtype
            tolerance = scale * tolerances.get(np.asarray(expected).dtype.name, 0)
            np.testing.assert_allclose(
                got, expected, rtol=tolerance, atol=tolerance, err_msg=str(program)
            )
