"""Random programs: compiled, printed, batched and differentiated, against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

import mgrad.numpy  # noqa: F401  (fills the protocols)
from mgrad.expr import constant, transforming
from mgrad.graph import Graph
from mgrad.transforms.evaluate import evaluate
from mgrad.transforms.jvp import jvp
from mgrad.transforms.simplify import simplify
from mgrad.transforms.vjp import pull_back
from mgrad.transforms.vmap import vmap
from tests.random_programs import Program, changed, draw_program
from tests.three_ways import TOLERANCE, agree, graph_of

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.integers(1, 30)
MANY = settings(max_examples=settings().max_examples * 3)


def drawn(seed: int, length: int, **options: Any) -> tuple[Program, Graph]:
    """A program and its graph; the program is shown if the test fails."""
    program = draw_program(seed, length, **options)
    note(str(program))
    return program, graph_of(program, *program.arrays)


def close(graph: Graph, arrays: Sequence[Any], printed: bool = True) -> None:
    """`agree`, with the tolerance that a chain of operations needs."""
    narrow = any(node.dtype == np.float32 for node in graph.nodes)
    tolerances = dict.fromkeys(TOLERANCE, TOLERANCE["float32"]) if narrow else TOLERANCE
    outputs = evaluate(graph, arrays)
    largest = max(
        (np.max(np.abs(y), initial=1.0) for y in outputs if np.size(y)), default=1.0
    )
    agree(graph, arrays, 1e4 * max(1.0, float(largest)), printed, tolerances)


def scalarised(graph: Graph) -> Graph:
    """A bounded smooth function of all floating-point outputs."""
    total = constant(0.0)
    with transforming():
        for k, y in enumerate(graph.outputs):
            if y.dtype.kind == "f" and y.size:
                total = total + np.mean(np.sin(y * (1 + 0.1 * k))).astype(np.float64)
    return Graph(graph.inputs, (total,))


def value_and_grad(graph: Graph) -> Graph:
    """The scalarised value, and its derivative in every input that has one."""
    loss = scalarised(graph)
    found = pull_back(loss, [constant(1.0)])
    return Graph(graph.inputs, (*loss.outputs, *(ct for ct in found if ct is not None)))


def batched_arrays(program: Program, seed: int) -> tuple[list[bool], list[np.ndarray]]:
    """Some inputs three times along a new axis 0, others as they are."""
    random = Random(seed)
    flags = [random.random() < 0.7 for _ in program.arrays]
    flags[random.randrange(len(flags))] = True
    pairs = zip(flags, program.arrays, strict=True)
    batches = [
        np.stack([a, changed(random, a), changed(random, a)]) if flag else a
        for flag, a in pairs
    ]
    return flags, batches


@given(seed=SEEDS, length=LENGTHS)
def test_forward_three_ways(seed, length):
    program, graph = drawn(seed, length, limit=150)
    for expected, found in zip(
        program(*program.arrays), evaluate(graph, program.arrays), strict=True
    ):
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    close(simplify(graph), program.arrays)
    close(graph, program.arrays, printed=False)


@given(seed=SEEDS, length=LENGTHS)
def test_value_and_grad_three_ways(seed, length):
    program, graph = drawn(seed, length, limit=150)
    close(simplify(value_and_grad(graph)), program.arrays)


@given(seed=SEEDS, length=LENGTHS)
def test_vmap_is_a_loop(seed, length):
    program, graph = drawn(seed, length)
    flags, batches = batched_arrays(program, seed)
    rows = [
        evaluate(graph, [b[i] if f else b for f, b in zip(flags, batches, strict=True)])
        for i in range(3)
    ]
    mapped = simplify(vmap(graph, flags, 3))
    narrow = any(node.dtype == np.float32 for node in graph.nodes)
    tolerance = 1e-2 if narrow else 1e-8
    for found, *wanted in zip(evaluate(mapped, batches), *rows, strict=True):
        expected = np.stack(wanted)
        assert np.shape(found) == expected.shape
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    close(mapped, batches, printed=False)


def along(arrays: Sequence[Any], tangents: Sequence[Any], step: float) -> list[Any]:
    """The point `step` away along the tangents; integers stay."""
    pairs = zip(arrays, tangents, strict=True)
    return [a + step * t if a.dtype.kind == "f" else a for a, t in pairs]


def slope(graph: Graph, arrays: Sequence[Any], tangents: Sequence[Any]) -> float:
    """The derivative along the tangents by central differences of fourth order."""
    h = 1e-4
    near, far = (
        evaluate(graph, along(arrays, tangents, s))[0]
        - evaluate(graph, along(arrays, tangents, -s))[0]
        for s in (h, 2 * h)
    )
    return float((8 * near - far) / (12 * h))


@given(seed=SEEDS, length=LENGTHS)
def test_both_modes_and_differences_agree(seed, length):
    program, graph = drawn(seed, length, limit=300, smooth=True)
    if any(node.dtype == np.float32 for node in graph.nodes):
        return
    generator = np.random.default_rng(seed)
    tangents = [
        generator.uniform(-1, 1, a.shape) if a.dtype.kind == "f" else np.zeros_like(a)
        for a in program.arrays
    ]
    loss = scalarised(graph)
    pushed = evaluate(simplify(jvp(loss)), [*program.arrays, *tangents])[1]
    pulled = pull_back(loss, [constant(1.0)])
    known = [k for k, ct in enumerate(pulled) if ct is not None]
    gradient = Graph(loss.inputs, tuple(pulled[k] for k in known))
    cotangents = evaluate(simplify(gradient), program.arrays)
    dots = [np.sum(ct * tangents[k]) for k, ct in zip(known, cotangents, strict=True)]
    scale = max(1.0, abs(float(pushed)))
    assert abs(sum(dots) - pushed) <= 1e-9 * scale
    assert abs(slope(loss, program.arrays, tangents) - pushed) <= 1e-4 * scale


@pytest.mark.slow
@settings(MANY)
@given(seed=SEEDS, length=LENGTHS, limit=st.sampled_from((600, 20_000)))
def test_sweep_compiled_as_interpreted(seed, length, limit):
    program, graph = drawn(seed, length, limit=limit)
    close(simplify(graph), program.arrays, printed=False)
    close(simplify(value_and_grad(graph)), program.arrays, printed=False)
